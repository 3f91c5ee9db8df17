//! From a target to a connection that is ready for a call: dns, tcp, tls, http2, each timed, and the
//! first that fails named.

mod connect;
mod dns;
mod first_frame;
mod http2;
mod settings;
mod tap;
mod tcp;
mod tls;
mod traffic;
mod witness;

pub(crate) use connect::{Connection, Stages, connect, look_up};
pub(crate) use settings::Settings;
pub(crate) use tls::TlsFacts;
pub(crate) use traffic::Traffic;
pub(crate) use witness::Witness;
