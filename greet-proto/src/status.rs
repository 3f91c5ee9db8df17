//! The published names of the gRPC status codes (`statuscodes.md`), for logs, metrics and flags.

use tonic::Code;

/// Indexed by code.
const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The number of status codes; the codes are `0..COUNT`.
pub const COUNT: usize = NAMES.len();

/// Returns the published name of a code: `DEADLINE_EXCEEDED`.
#[must_use]
pub const fn code_name(code: Code) -> &'static str {
    NAMES[code as usize]
}

/// Returns the code with this published name.
#[must_use]
pub fn code_from_name(name: &str) -> Option<Code> {
    let code = NAMES.iter().position(|known| *known == name)?;
    Some(Code::from_i32(code as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_the_name_of_its_variant() {
        for number in 0..COUNT {
            let code = Code::from_i32(number as i32);
            assert_eq!(code as usize, number);
            let name = code_name(code);
            assert_eq!(code_from_name(name), Some(code));
            let variant = format!("{code:?}").to_uppercase();
            assert_eq!(name.replace('_', ""), variant);
        }
    }

    #[test]
    fn unknown_names_have_no_code() {
        for name in ["", "ok", "14", "CANCELED", "DEADLINE-EXCEEDED"] {
            assert_eq!(code_from_name(name), None, "{name}");
        }
    }
}
