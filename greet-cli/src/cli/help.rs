//! Help text beyond the flags: examples first, exit codes last.

pub(super) const TEMPLATE: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

pub(super) const EXAMPLES: &str = concat!(
    "Examples:\n",
    // <greeter>
    "  greet-cli hello --name Ada                           # Hello Ada\n",
    // </greeter>
    "  greet-cli --wait 30s health && greet-cli call SayHello --json '{}'\n",
    "  greet-cli --target https://service.example diagnose  # report each stage",
);

pub(super) const CALL_EXAMPLES: &str = "\
Examples:
  greet-cli call Health/Check                      # {\"status\":\"SERVING\"}
  greet-cli call grpc.health.v1.Health/Check --json '{\"service\": \"a.B\"}'
  greet-cli call SayHello --json-from requests.ndjson > replies.ndjson
  greet-cli --output json call SayHello | jq '.reply // .error'";

pub(super) const HEALTH_EXAMPLES: &str = "\
Examples:
  greet-cli health                  # prints SERVING and exits 0
  greet-cli --wait 30s health       # waits until the server is ready
  greet-cli health --all            # prints each service
  greet-cli health --watch          # prints each change";

pub(super) const DIAGNOSE_EXAMPLES: &str = "\
Examples:
  greet-cli --target https://service.example --ca-cert ca.pem diagnose
  greet-cli --output json diagnose |
    jq '.stages[] | select(.result == \"failed\")'";

pub(super) const LOAD_EXAMPLES: &str = "\
Examples:
  greet-cli load                               # 10 s with 100 concurrent calls
  greet-cli load --rate 20000 --duration 30s --html load.html
  greet-cli load --rate 1000..50000 --find 'p99<20ms'   # the highest rate
  greet-cli load --fail-if 'p99>20ms' --fail-if 'error-rate>0.1%'   # for CI
  greet-cli load --baseline old.json --fail-if 'p99>+10%'
  greet-cli --output json load --count 100000 | jq .latency_us.p99";

pub(super) const PING_EXAMPLES: &str = "\
Examples:
  greet-cli ping                               # until Ctrl-C, then a summary
  greet-cli --timeout 1s ping --duration 5m    # exits with 0 if no call failed
  greet-cli ping --interval 10ms Health/Check
  greet-cli --output json ping | jq 'select(.kind == \"outage\")'";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  source <(greet-cli completions bash)          # in ~/.bashrc
  greet-cli completions zsh > ~/.zfunc/_greet-cli
  greet-cli completions fish > ~/.config/fish/completions/greet-cli.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  greet-cli man > ~/.local/share/man/man1/greet-cli.1 && man greet-cli";

pub(super) const ERRORS_EXAMPLES: &str = "\
Examples:
  greet-cli errors | less
  greet-cli --output json errors | jq '.errors[] | select(.stage == \"tls\")'";

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0       success
  1       output failed, or an internal error
  2       invalid flags or arguments, or input that is invalid or not readable
  3       no connection (dns, tcp, proxy, tls, http2): not sent, safe to retry
  4       health: not SERVING
  5       load: --fail-if violated or without a verdict, or --find found no rate
  64 + n  gRPC status n, such as 68 for DEADLINE_EXCEEDED, 78 for UNAVAILABLE
  130     SIGINT (Ctrl-C), after the output of all replies so far
  143     SIGTERM, after the output of all replies so far

With several calls, the exit code is that of the first failure. load exits 0 if
at least one call succeeded.";
