//! The properties that every input of a server must keep, one function for each parser: for the fuzz
//! targets in `xtask/fuzz`, and for the tests of this crate.

use greet_proto::escape::{Escaped, is_unsafe};
use tonic::{Code, Status};

use crate::error::{CallError, RpcError, StatusSource, detail_lines};

pub use crate::client::fuzzing::{grpc_status, reply_messages};
pub use crate::connect::fuzzing::{
    certificate, proxy_reply, reply_excerpt, server_first_bytes, tls_first_bytes,
};

/// The sizes of the reads in which an input arrives: no result may depend on them.
pub(crate) const READ_SIZES: [usize; 4] = [usize::MAX, 1, 4, 11];

/// What the module of the details documents: 20 lines, and one that counts the others.
const MAX_DETAIL_LINES: usize = 21;

/// The details of a status (`google.rpc.Status`): they become JSON, a hint, and few lines.
pub fn status_details(data: &[u8]) {
    let status = Status::with_details(Code::InvalidArgument, "no", data.to_vec().into());
    let error: CallError = RpcError::new(StatusSource::Server, status).into();
    let objects = error.details();
    assert!(objects.iter().all(|detail| detail["@type"].is_string()));
    assert!(detail_lines(&objects).len() <= MAX_DETAIL_LINES);
    assert!(!error.hint().is_empty());
}

/// Text for a terminal: nothing in it moves the cursor or reorders text, and safe text is unchanged.
pub fn escaped_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let escaped = Escaped(&text).to_string();
    assert!(!escaped.contains(is_unsafe));
    assert_eq!(escaped == *text, !text.contains(is_unsafe));
    assert!(escaped.len() <= 10 * text.len());
    let kept = |text: &str| text.chars().filter(|it| !it.is_ascii()).collect::<String>();
    assert_eq!(kept(&escaped), kept(&text.replace(is_unsafe, "")));
}

#[cfg(test)]
mod tests {
    use greet_testkit::fuzz::check;

    use super::*;

    #[test]
    fn every_input_keeps_the_properties_of_its_parser() {
        check("certificate", certificate);
        check("escaped_text", escaped_text);
        check("grpc_status", grpc_status);
        check("proxy_reply", proxy_reply);
        check("reply_excerpt", reply_excerpt);
        check("reply_messages", reply_messages);
        check("server_first_bytes", server_first_bytes);
        check("status_details", status_details);
        check("tls_first_bytes", tls_first_bytes);
    }
}
