//! What a request to the admin port can change: the log filter, the health of a service, the faults.

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::access::Rejection;
use super::collector::MetricsCollector;
use crate::config::{FaultConfig, log_filter};
use crate::grpc::connection_state::Peer;
use crate::grpc::faults::{self, FaultControl};
use crate::services::HealthControl;
use crate::telemetry::logging::LogControl;

/// Maximum size of a new value: 160 bytes for each of [`faults::MAX_RULES`], so that the rules of a response,
/// which have full names of methods, can be set again.
const MAX_BODY_BYTES: usize = 16 * 1_024;

const HEALTH_PATH: &str = "/health/";
const SERVING: &str = "SERVING";
const NOT_SERVING: &str = "NOT_SERVING";

/// A setting, by its path.
#[derive(Debug)]
pub(super) enum Setting<'a> {
    LogLevel(&'a LogControl),
    Faults(&'a FaultControl),
    /// The health of a service; that of the server has the empty name.
    Health(&'a HealthControl, &'a str),
}

impl<'a> Setting<'a> {
    /// Returns the setting of a path.
    pub(super) fn find(path: &'a str, of: &'a MetricsCollector) -> Option<Setting<'a>> {
        match path {
            "/log-level" => of.log.as_ref().map(Setting::LogLevel),
            "/faults" => Some(Setting::Faults(&of.faults)),
            _ => Some(Setting::Health(&of.health, path.strip_prefix(HEALTH_PATH)?)),
        }
    }

    /// Returns the methods that a setting accepts.
    pub(super) fn allowed(&self, is_read_only: bool) -> &'static str {
        match self {
            _ if is_read_only => "GET, HEAD",
            Setting::Faults(_) => "GET, HEAD, PUT, DELETE",
            Setting::LogLevel(_) | Setting::Health(..) => "GET, HEAD, PUT",
        }
    }

    /// Returns the value.
    ///
    /// # Errors
    /// 404 for an unknown service.
    pub(super) fn value(&self) -> Result<String, Rejection> {
        match self {
            Setting::LogLevel(log) => Ok(log.filter()),
            Setting::Faults(faults) => Ok(faults.config().to_string().trim_end().to_owned()),
            Setting::Health(health, service) => {
                health.is_serving(service).map(status).ok_or_else(|| unknown(service))
            }
        }
    }

    /// Changes the value by `PUT` or `DELETE`, and returns it. `served` are the names of the served methods.
    /// The log names the peer, because the port has no authentication.
    ///
    /// # Errors
    /// The new value is too long or not valid.
    pub(super) async fn change(
        &self,
        method: &Method,
        body: Incoming,
        peer: Peer,
        served: &[&str],
    ) -> Result<String, Rejection> {
        let body = read(body).await?;
        let given = String::from_utf8_lossy(&body);
        let given = given.trim();
        let bad = |name: &str, problem| (StatusCode::BAD_REQUEST, format!("{name}: {problem}"));
        match self {
            Setting::LogLevel(log) => {
                let filter = log_filter(given).map_err(|problem| bad("filter", problem))?;
                log.set(filter, Some(&peer.to_string()));
            }
            Setting::Faults(faults) if *method == Method::DELETE => {
                faults.set(FaultConfig::default(), peer);
            }
            Setting::Faults(faults) => {
                let config = given.parse().and_then(|config| faults::resolve(config, served));
                let config = config.map_err(|problem| bad("fault", problem))?;
                if config.rules.is_empty() {
                    return Err(bad("fault", "no rule given; DELETE removes all".to_owned()));
                }
                faults.set(config, peer);
            }
            Setting::Health(health, service) => {
                let is_serving = match given {
                    SERVING => true,
                    NOT_SERVING => false,
                    _ => {
                        let problem = format!("{given:?} is not {SERVING} or {NOT_SERVING}");
                        return Err(bad("health", problem));
                    }
                };
                let status = health.set_serving(service, is_serving).map(status);
                let status = status.ok_or_else(|| unknown(service))?;
                tracing::warn!(%peer, service, requested = given, status, "health set");
            }
        }
        self.value()
    }
}

async fn read(body: Incoming) -> Result<Bytes, Rejection> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let limit = MAX_BODY_BYTES / 1_024;
            Err((StatusCode::PAYLOAD_TOO_LARGE, format!("the new value is over {limit} KiB")))
        }
        Err(_) => {
            let problem = "the request body is incomplete or malformed";
            Err((StatusCode::BAD_REQUEST, problem.to_owned()))
        }
    }
}

fn status(is_serving: bool) -> String {
    if is_serving { SERVING.to_owned() } else { NOT_SERVING.to_owned() }
}

fn unknown(service: &str) -> Rejection {
    (StatusCode::NOT_FOUND, format!("{service:?} is not a served service"))
}
