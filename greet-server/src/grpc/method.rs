//! Every method that is served, in one table. A path that is not in it is UNIMPLEMENTED.

/// A method, known by its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    SayHello,
    HealthCheck,
    HealthWatch,
    ReflectionV1,
    ReflectionV1Alpha,
}

/// How many messages a call of the method may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requests {
    One,
    Many,
}

impl Method {
    pub(crate) const ALL: [Method; 5] = [
        Method::SayHello,
        Method::HealthCheck,
        Method::HealthWatch,
        Method::ReflectionV1,
        Method::ReflectionV1Alpha,
    ];

    /// As gRFC A66 labels it; a method that is not served has no name of its own.
    pub(crate) fn label(method: Option<Method>) -> &'static str {
        method.map_or("other", |method| &method.path()[1..])
    }

    fn path(self) -> &'static str {
        match self {
            Method::SayHello => "/greet.Greeter/SayHello",
            Method::HealthCheck => "/grpc.health.v1.Health/Check",
            Method::HealthWatch => "/grpc.health.v1.Health/Watch",
            Method::ReflectionV1 => "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            Method::ReflectionV1Alpha => {
                "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
            }
        }
    }

    pub(crate) fn from_path(path: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.path() == path)
    }

    pub(crate) fn requests(self) -> Requests {
        match self {
            Method::SayHello | Method::HealthCheck | Method::HealthWatch => Requests::One,
            Method::ReflectionV1 | Method::ReflectionV1Alpha => Requests::Many,
        }
    }

    /// Whether the reply may go on for as long as both sides want it to.
    pub(crate) fn is_streaming(self) -> bool {
        match self {
            Method::SayHello | Method::HealthCheck => false,
            Method::HealthWatch | Method::ReflectionV1 | Method::ReflectionV1Alpha => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Whoever adds a method to a .proto and forgets it here is told by this test.
    #[test]
    fn the_table_agrees_with_every_descriptor_that_is_served() {
        let served = [
            greet_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ];
        let mut methods = 0;
        for set in served {
            for file in FileDescriptorSet::decode(set).unwrap().file {
                for service in &file.service {
                    for method in &service.method {
                        let (package, service) = (file.package(), service.name());
                        let path = format!("/{package}.{service}/{}", method.name());
                        let known = Method::from_path(&path).unwrap_or_else(|| panic!("{path}"));
                        let many = known.requests() == Requests::Many;
                        assert_eq!(many, method.client_streaming(), "{path}");
                        assert_eq!(known.is_streaming(), method.server_streaming(), "{path}");
                        methods += 1;
                    }
                }
            }
        }
        assert_eq!(methods, 5);
    }
}
