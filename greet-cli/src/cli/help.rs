//! What help says beyond the flags: examples first, exit codes last.

pub(super) const TEMPLATE: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}";

pub(super) const EXAMPLES: &str = "\
Examples:
  greet-cli hello --name Ada                              # Hello Ada
  greet-cli --wait 30s health && greet-cli hello --name Ada
  greet-cli --target https://greeter.example diagnose     # why does it not work?";

pub(super) const HELLO_EXAMPLES: &str = "\
Examples:
  greet-cli hello --name Ada --name Grace
  greet-cli hello --names-from names.txt > greetings.txt
  greet-cli -v hello --name Ada --count 100 --connections 4   # who answers, behind a balancer?
  greet-cli --output json hello --name Ada | jq -r '.message // .error.cause'";

pub(super) const HEALTH_EXAMPLES: &str = "\
Examples:
  greet-cli health                        # SERVING, and exit code 0
  greet-cli --wait 30s health             # a gate for scripts
  greet-cli health --watch                # a line for each change";

pub(super) const DIAGNOSE_EXAMPLES: &str = "\
Examples:
  greet-cli --target https://greeter.example --ca-cert ca.pem diagnose
  greet-cli --output json diagnose | jq '.stages[] | select(.result == \"failed\")'";

pub(super) const LOAD_EXAMPLES: &str = "\
Examples:
  greet-cli load                                          # 10 s, 100 calls at a time
  greet-cli load --rate 20000 --duration 30s --html load.html
  greet-cli load --fail-if 'p99>20ms' --fail-if 'error-rate>0.1%'   # in CI: exit code 5
  greet-cli --output json load --count 100000 | jq .latency_us.p99";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  greet-cli completions bash > ~/.local/share/bash-completion/completions/greet-cli
  greet-cli completions zsh > ~/.zfunc/_greet-cli
  greet-cli completions fish > ~/.config/fish/completions/greet-cli.fish";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  greet-cli man > ~/.local/share/man/man1/greet-cli.1 && man greet-cli";

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0       done
  1       output could not be written, input could not be read, or an internal error
  2       bad flags, arguments or input
  3       could not connect (dns, tcp, tls, http2): the call was never sent, so it is safe to repeat
  4       health: not SERVING
  5       load: a --fail-if threshold was crossed
  64 + n  the call ended with gRPC status n: 67 INVALID_ARGUMENT, 68 DEADLINE_EXCEEDED, 78 UNAVAILABLE, ...
  130     interrupted (Ctrl-C), 143 terminated (SIGTERM), as shells count it; what was answered is printed

Of many calls the first failure's code counts; of a load test a call that failed is a figure: 0 if any was OK.";
