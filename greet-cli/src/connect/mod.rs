//! From a target to a connection that is ready for a call: dns, tcp, tls, http2, each timed, and the
//! first that fails named.

pub(crate) mod certificate;
mod connection;
mod dns;
pub(crate) mod excerpt;
mod first_frame;
mod http2;
mod target;
mod tcp;
mod tls;
mod tls_config;
mod traffic;
mod verifier;

pub(crate) use self::connection::{Connection, Stages, connect, look_up};
pub(crate) use self::http2::Settings;
pub(crate) use self::target::Target;
pub(crate) use self::tls::TlsFacts;
pub(crate) use self::tls_config::Tls;
pub(crate) use self::traffic::Traffic;
