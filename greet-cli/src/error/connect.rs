//! Failures of connecting in one table: stage, fields (each with an example), cause and hint.
//! `docs/errors.md` lists them all.

use super::Stage;

macro_rules! connect_errors {
    ($($stage:ident { $(
        $error:ident { $($field:ident = $example:literal),* } $cause:literal => $hint:literal;
    )* })*) => {
        /// A failure to connect. Nothing of the call was sent.
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        pub(crate) enum ConnectError {
            $($(#[error($cause)] $error { $($field: String),* },)*)*
        }

        impl ConnectError {
            pub(crate) fn stage(&self) -> Stage {
                match self {
                    $($(Self::$error { .. } => Stage::$stage,)*)*
                }
            }

            /// Returns what most likely helps.
            pub(crate) fn hint(&self) -> &'static str {
                match self {
                    Self::Plaintext { received, .. } if received.contains("SSH-") => {
                        "this is an SSH server: check the port in --target"
                    }
                    $($(Self::$error { .. } => $hint,)*)*
                }
            }

            /// Returns an example of each error, in the order of the stages.
            pub(crate) fn examples() -> Vec<ConnectError> {
                vec![$($(Self::$error { $($field: $example.to_owned()),* },)*)*]
            }
        }
    };
}

connect_errors! {
    Dns {
        UnknownHost { host = "HOST", problem = "Name or service not known" }
            "could not look up {host}: {problem}"
            => "check the host name in --target";
        UnknownZone { host = "fe80::1%ZONE", zone = "ZONE" }
            "could not look up {host}: this machine has no network interface {zone}"
            => "name a network interface in --target, as in [fe80::1%eth0]:50051";
        NoNameServer { host = "HOST", problem = "Temporary failure in name resolution" }
            "could not look up {host}: {problem}"
            => "check the DNS configuration of this machine, or use an IP address";
        LookupTimeout { host = "HOST", after = "5s" }
            "could not look up {host}: no answer from the name server within {after}"
            => "check the DNS configuration of this machine, or use an IP address";
        TooManyOpenFilesToLookUp { host = "HOST", problem = "this process has reached its limit of open files, 1024" }
            "could not look up {host}: {problem}"
            => "raise the limit with ulimit -n (of the machine with sysctl fs.file-max), or use fewer --connections";
        ProxyNotFound { proxy = "http://PROXY:3128", problem = "could not look up PROXY: Name or service not known" }
            "no connection to the proxy {proxy}: {problem}"
            => "correct https_proxy, or list the host of --target in no_proxy to connect without a proxy";
    }

    Tcp {
        Refused { peer = "PEER" }
            "could not connect to {peer}: connection refused"
            => "start the server, wait for it with --wait, or correct --target";
        NoSuchSocket { peer = "unix:PATH" }
            "could not connect to {peer}: no such socket"
            => "start the server, wait for it with --wait, or correct --target";
        Unreachable { peer = "PEER" }
            "could not connect to {peer}: network or host unreachable"
            => "check the route to this address, or correct --target";
        ConnectTimeout { peer = "PEER", after = "5s" }
            "could not connect to {peer}: no answer within {after}"
            => "check the address and firewalls, or raise --timeout";
        TooManyOpenFiles { peer = "PEER", problem = "this process has reached its limit of open files, 1024" }
            "could not connect to {peer}: {problem}"
            => "raise the limit with ulimit -n (of the machine with sysctl fs.file-max), or use fewer --connections";
        NoMemory { peer = "PEER" }
            "could not connect to {peer}: the kernel has no memory for the connection"
            => "check the memory of this machine, and the memory limit of its container";
        NoLocalPort { peer = "PEER" }
            "could not connect to {peer}: no local port is left"
            => "wait for old connections to end, or raise the limit with sysctl net.ipv4.ip_local_port_range";
        NoIpv6 { peer = "[::1]:50051" }
            "could not connect to {peer}: IPv6 is disabled on this machine"
            => "use an IPv4 address in --target, or enable IPv6";
        MissingZone { peer = "[fe80::1]:50051" }
            "could not connect to {peer}: a link-local address needs a zone"
            => "name the network interface in --target, as in [fe80::1%eth0]:50051";
        Forbidden { peer = "PEER" }
            "could not connect to {peer}: this machine does not permit the connection"
            => "check the firewall and the security policies of this machine (SELinux, seccomp, eBPF)";
        SocketPermission { peer = "unix:PATH" }
            "could not connect to {peer}: permission denied"
            => "this user needs write permission for the socket, and search permission for its directories";
        SocketPathTooLong { peer = "unix:PATH", bytes = "108", limit = "107" }
            "could not connect to {peer}: the path of the socket has {bytes} bytes; the limit is {limit}"
            => "use a shorter path, such as one that is relative to the working directory";
        SocketQueueFull { peer = "unix:PATH" }
            "could not connect to {peer}: its queue of connections is full"
            => "the server is overloaded or accepts no connections: see its log, or retry with --retries";
        NotASocket { peer = "unix:PATH" }
            "could not connect to {peer}: this is not a socket"
            => "check the path in --target";
        ConnectFailed { peer = "PEER", problem = "Protocol wrong type for socket (os error 91)" }
            "could not connect to {peer}: {problem}"
            => "check --target, and the limits of this process";
        ProxyUnreachable { proxy = "http://PROXY:3128", problem = "could not connect to 10.0.0.1:3128: connection refused" }
            "no connection to the proxy {proxy}: {problem}"
            => "correct https_proxy, or list the host of --target in no_proxy to connect without a proxy";
    }

    Proxy {
        ProxyAuthentication { proxy = "http://PROXY:3128", received = "407 Proxy Authentication Required (proxy-authenticate: Basic)" }
            "the proxy {proxy} requires authentication: it sent {received}"
            => "put the user and the password into https_proxy, as in http://USER:PASSWORD@HOST:PORT";
        ProxyRefused { proxy = "http://PROXY:3128", peer = "HOST:50051", received = "403 Forbidden (server: squid)" }
            "the proxy {proxy} refused to connect to {peer}: it sent {received}"
            => "check the access rules of the proxy, or list the host in no_proxy to connect without a proxy";
        ProxyBadGateway { proxy = "http://PROXY:3128", peer = "HOST:50051", received = "502 Bad Gateway" }
            "the proxy {proxy} could not connect to {peer}: it sent {received}"
            => "check the host and port in --target, which the proxy looks up, and the log of the proxy";
        ProxyTimeout { proxy = "http://PROXY:3128", peer = "HOST:50051", after = "5s" }
            "the proxy {proxy} did not connect to {peer} within {after}"
            => "check the host and port in --target, which the proxy looks up, or raise --timeout";
        ProxyClosed { proxy = "http://PROXY:3128", peer = "HOST:50051" }
            "the proxy {proxy} closed the connection before its reply to CONNECT {peer}"
            => "check that https_proxy is the URL of an HTTP proxy, and see the log of the proxy";
        NotAProxy { proxy = "http://PROXY:3128", received = "\"SSH-2.0-OpenSSH_10.0\"" }
            "the proxy {proxy} sent no HTTP/1.1 reply: {received}"
            => "check the host and port in https_proxy; the proxy must accept HTTP without TLS";
        ProxyReplyTooLarge { proxy = "http://PROXY:3128", limit = "8192" }
            "the proxy {proxy} sent a reply with a head of more than {limit} bytes"
            => "check that https_proxy is the URL of an HTTP proxy, and see the log of the proxy";
    }

    Tls {
        Plaintext { peer = "PEER", received = "HTTP/2 SETTINGS" }
            "{peer} does not use TLS: it sent {received}"
            => "use http:// in --target (dns:/// for dns+https:///), or enable TLS on the server";
        TlsClosed { peer = "PEER" }
            "{peer} closed the connection during the TLS handshake"
            => "use http:// in --target if the server has no TLS; if it has, see its log";
        TlsTimeout { peer = "PEER", after = "5s" }
            "{peer} did not answer the TLS handshake within {after}"
            => "use http:// in --target if the server has no TLS";
        NoTrustedCa { peer = "PEER" }
            "the certificate of {peer} cannot be verified: there is no trusted CA"
            => "pass the CA certificate with --ca-cert, or install the CA certificates of the system";
        SelfSigned { peer = "PEER", subject = "CN=NAME" }
            "the certificate of {peer} ({subject}) is self-signed and not trusted"
            => "if you trust it, pass it with --ca-cert";
        MissingIssuer { peer = "PEER", subject = "CN=NAME", issuer = "CN=CA" }
            "the certificate of {peer} ({subject}) is signed by {issuer}, which is neither trusted nor sent by the server"
            => "pass the certificate of this CA with --ca-cert; if it is an intermediate CA, the server must send it";
        UnknownIssuer { peer = "PEER", subject = "CN=NAME", issuer = "CN=CA" }
            "the certificate of {peer} ({subject}) is signed by {issuer}, which is not a trusted CA"
            => "pass the CA certificate with --ca-cert; the default is the system's trust store";
        BadSignature { peer = "PEER", subject = "CN=NAME", issuer = "CN=CA" }
            "the certificate of {peer} ({subject}) is not signed with the known key of {issuer}"
            => "the CA was probably created anew with the same name: update --ca-cert or the certificate";
        WrongName { peer = "PEER", names = "a.example, b.example", wanted = "HOST" }
            "the certificate of {peer} is valid for {names}, not for {wanted}"
            => "use one of these names in --target or --server-name";
        WildcardMismatch { peer = "PEER", wildcard = "*.example.com", wanted = "a.b.example.com" }
            "the certificate of {peer} is valid for {wildcard}, which does not include {wanted}"
            => "a wildcard stands for one label and needs two more after it: use or add another name";
        AddressAsDnsName { peer = "PEER", wanted = "127.0.0.1" }
            "the certificate of {peer} has {wanted} as a DNS name, not as an IP address"
            => "issue the certificate with subjectAltName=IP:ADDRESS instead of DNS:ADDRESS";
        NoNames { peer = "PEER", subject = "CN=NAME" }
            "the certificate of {peer} ({subject}) has no subjectAltName"
            => "issue the certificate with a subjectAltName: clients ignore the common name";
        NameNotPermitted { peer = "PEER", subject = "CN=NAME" }
            "the certificate of {peer} ({subject}) has a name that its CA may not sign (name constraints)"
            => "use a name that the name constraints of the CA permit, or another CA";
        Expired { peer = "PEER", subject = "CN=NAME", on = "2026-01-01T00:00:00Z", ago = "3 days" }
            "the certificate of {peer} ({subject}) expired on {on}, {ago} ago"
            => "renew the certificate and reload the server, or correct the clock of this machine";
        NotYetValid { peer = "PEER", subject = "CN=NAME", from = "2027-01-01T00:00:00Z", time = "3 days" }
            "the certificate of {peer} ({subject}) is not valid until {from}, in {time}"
            => "check the clocks of this machine and of the CA";
        ChainOutOfOrder { peer = "PEER", subject = "CN=CA" }
            "{peer} sends its certificates in the wrong order: the first is that of a CA ({subject})"
            => "put the server's own certificate first into its file, then the intermediate CAs";
        UnsupportedAlgorithm { peer = "PEER", subject = "CN=NAME", algorithm = "ECDSA with SHA-512" }
            "the certificate of {peer} ({subject}) uses an unsupported algorithm: {algorithm}"
            => "use RSA of 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519, with SHA-256 or SHA-384";
        UnsupportedExtension { peer = "PEER", subject = "CN=NAME", extension = "1.3.6.1.4.1.1" }
            "the certificate of {peer} ({subject}) has an unsupported critical extension: {extension}"
            => "issue the certificate without this extension, or not as critical";
        BadCertificate { peer = "PEER", subject = "CN=NAME", problem = "it is not X.509 version 3" }
            "the certificate of {peer} ({subject}) is invalid: {problem}"
            => "issue a server certificate (X.509 v3, CA:FALSE, serverAuth); --insecure skips the verification";
        ClientCertificateRequired { peer = "PEER" }
            "{peer} requires a client certificate"
            => "pass one with --cert and --key";
        ClientCertificateRejected { peer = "PEER", alert = "unknown_ca" }
            "{peer} rejected the client certificate: {alert}"
            => "use a valid client certificate, signed by a CA that the server trusts";
        NoHttp2 { peer = "PEER", answer = "it chose no protocol" }
            "{peer} did not negotiate HTTP/2 (ALPN): {answer}"
            => "enable HTTP/2 (ALPN h2) where TLS ends: on the server, or on the proxy in front of it";
        UnknownServerName { peer = "PEER", name = "HOST" }
            "{peer} does not serve the name {name}"
            => "use one of the server's names in --target or --server-name";
        TlsRejected { peer = "PEER", alert = "protocol_version" }
            "{peer} rejected the TLS handshake: {alert}"
            => "check that both sides share a TLS version, cipher suite and signature algorithm; see the server's log";
        TlsFailed { peer = "PEER", problem = "the server sent a malformed message: invalid key share" }
            "TLS error on the connection to {peer}: {problem}"
            => "check the server, and the proxies in front of it";
    }

    Http2 {
        ExpectsTls { peer = "PEER" }
            "{peer} expects TLS, but the connection is plaintext"
            => "use https:// instead of http:// in --target";
        Http1 { peer = "PEER", received = "400 Bad Request (server: nginx)" }
            "{peer} uses HTTP/1.1, not HTTP/2: it sent {received}"
            => "check the port, try https://, or enable HTTP/2 on the proxy in front of the server";
        NotHttp2 { peer = "PEER", received = "\"SSH-2.0-OpenSSH_10.0\"" }
            "{peer} does not use HTTP/2: it sent {received}"
            => "check that a gRPC server listens on the port in --target";
        ClosedBeforeSettings { peer = "PEER" }
            "{peer} closed the connection before its SETTINGS"
            => "try https:// if the port expects TLS; a server at its connection limit closes, too";
        GoAwayBeforeSettings { peer = "PEER", reason = "ENHANCE_YOUR_CALM" }
            "{peer} sent GOAWAY before its SETTINGS: {reason}"
            => "the server accepts no connections now: retry later, or use another server";
        NoSettings { peer = "PEER", after = "5s" }
            "{peer} accepted the connection, but sent no SETTINGS within {after}"
            => "check the port, and http:// or https://, in --target; the server may be stuck";
        NoStreamsAllowed { peer = "PEER", after = "5s" }
            "{peer} allowed no call within {after}: its SETTINGS_MAX_CONCURRENT_STREAMS is 0"
            => "the server accepts no calls now: retry later, or raise its limit of concurrent streams";
        NoFreeStream { peer = "PEER", after = "5s", limit = "1" }
            "no stream to {peer} was free within {after}: its SETTINGS_MAX_CONCURRENT_STREAMS is {limit}"
            => "use more --connections or less --concurrency, or raise the limit of the server";
        CallRejected { target = "TARGET", reason = "REFUSED_STREAM" }
            "{target} refused the call on every connection: {reason}"
            => "the server is shutting down, at a limit, or rejects a large --header: retry later";
    }
}
