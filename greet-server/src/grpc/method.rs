//! Describes a served method: its path, which of its sides stream, and what a drain does to it.

use greet_proto::service::MethodDescriptor;

/// A method of a served service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    pub(crate) descriptor: MethodDescriptor,
    pub(crate) at_drain: AtDrain,
    /// Position in the table of served methods, and in the metrics.
    pub(crate) index: usize,
}

/// What a drain does to the open response streams of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtDrain {
    /// Ends them with UNAVAILABLE: for streams without an end, which would delay the drain.
    End,
    /// Lets them finish, until `--drain-timeout` cuts them: for streams that end by themselves.
    Finish,
}

impl Method {
    pub(crate) fn new(descriptor: MethodDescriptor) -> Method {
        Method { descriptor, at_drain: AtDrain::Finish, index: 0 }
    }

    /// Returns `/package.Service/Method`.
    pub fn path(&self) -> &'static str {
        self.descriptor.path
    }

    /// Returns `package.Service/Method`.
    pub(crate) fn name(&self) -> &'static str {
        &self.path()[1..]
    }

    /// Returns the method label of gRFC A66; all methods that are not served share `other`.
    pub(crate) fn label(method: Option<&Method>) -> &'static str {
        method.map_or("other", Method::name)
    }
}
