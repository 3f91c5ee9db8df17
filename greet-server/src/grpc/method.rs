//! A method of a served service: its path, and how many messages each side may send.

/// A method, known by its path.
#[derive(Debug)]
pub(crate) struct Method {
    /// Its position in the list of served methods, and in the metrics.
    pub(crate) index: usize,
    path: &'static str,
    pub(crate) requests: Requests,
    /// Whether the reply may be any number of messages.
    pub(crate) is_streaming: bool,
}

/// How many messages a call of the method may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Requests {
    One,
    Many,
}

impl Method {
    /// `path` is `/package.Service/Method`.
    pub(crate) const fn unary(index: usize, path: &'static str) -> Method {
        Method { index, path, requests: Requests::One, is_streaming: false }
    }

    pub(crate) const fn server_streaming(index: usize, path: &'static str) -> Method {
        Method { index, path, requests: Requests::One, is_streaming: true }
    }

    pub(crate) const fn bidirectional(index: usize, path: &'static str) -> Method {
        Method { index, path, requests: Requests::Many, is_streaming: true }
    }

    pub(crate) fn path(&self) -> &'static str {
        self.path
    }

    /// Returns the label of gRFC A66; a method that is not served has none of its own.
    pub(crate) fn label(method: Option<&Method>) -> &'static str {
        method.map_or("other", |method| &method.path[1..])
    }
}
