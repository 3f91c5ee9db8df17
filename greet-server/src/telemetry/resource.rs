//! The resource attributes of the service (OpenTelemetry), which spans carry and the metric `target_info`
//! shows: by the same values, queries join metrics with traces.

use crate::config::Config;
use crate::telemetry::otel;

/// Attributes and their values. Of several with the same name, the last one counts.
#[derive(Debug, Clone)]
pub(crate) struct ResourceAttributes(Vec<(String, String)>);

impl ResourceAttributes {
    /// Returns the daemon's attributes; OTEL_RESOURCE_ATTRIBUTES replaces them, then OTEL_SERVICE_NAME.
    pub(crate) fn new(config: &Config) -> ResourceAttributes {
        let instance = config.instance.as_ref().and_then(|instance| instance.to_str().ok());
        let own = [
            ("service.name", Some(env!("CARGO_PKG_NAME"))),
            ("service.version", Some(env!("CARGO_PKG_VERSION"))),
            ("service.instance.id", instance),
        ];
        let own = own.into_iter().filter_map(|(key, value)| Some((key.into(), value?.into())));
        ResourceAttributes(own.chain(otel::resource_from_environment()).collect())
    }

    /// Returns the labels of `target_info`.
    pub(crate) fn target_labels(&self) -> [String; 3] {
        ["service.name", "service.version", "service.instance.id"]
            .map(|key| self.get(key).to_owned())
    }

    /// Returns a value; empty if the attribute is absent.
    fn get(&self, key: &str) -> &str {
        let mut latest = self.0.iter().rev();
        latest.find(|(other, _)| other == key).map_or("", |(_, value)| value)
    }

    #[cfg(feature = "otel")]
    pub(super) fn iter(&self) -> impl Iterator<Item = &(String, String)> {
        self.0.iter()
    }
}
