//! Describes a served method: its path, and which of its sides stream.

/// A method of a served service.
#[derive(Debug)]
pub(crate) struct Method {
    /// Position in the list of served methods, and in the metrics.
    pub(crate) index: usize,
    path: &'static str,
    pub(crate) is_client_streaming: bool,
    pub(crate) is_server_streaming: bool,
}

impl Method {
    /// Describes a unary method; `path` is `/package.Service/Method`.
    pub(crate) const fn unary(index: usize, path: &'static str) -> Method {
        Method { index, path, is_client_streaming: false, is_server_streaming: false }
    }

    pub(crate) const fn server_streaming(index: usize, path: &'static str) -> Method {
        Method { index, path, is_client_streaming: false, is_server_streaming: true }
    }

    pub(crate) const fn bidi_streaming(index: usize, path: &'static str) -> Method {
        Method { index, path, is_client_streaming: true, is_server_streaming: true }
    }

    pub(crate) fn path(&self) -> &'static str {
        self.path
    }

    /// Returns the method label of gRFC A66; all methods that are not served share `other`.
    pub(crate) fn label(method: Option<&Method>) -> &'static str {
        method.map_or("other", |method| &method.path[1..])
    }
}
