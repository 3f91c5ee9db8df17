//! The names of a new workspace, and the names of this one that they replace.

use anyhow::ensure;

/// Keywords of Rust, which generated code would have to escape.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do",
    "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
    "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self",
    "static", "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
    "virtual", "where", "while", "yield",
];
/// Modules of the crate with the generated types.
const MODULES: &[&str] = &["escape", "framing", "generated", "grpc", "service", "status"];
/// Services whose file or type would collide with one of every workspace.
#[rustfmt::skip]
const RESERVED_SERVICES: &[&str] = &[
    "Code", "Config", "Flags", "Health", "Mod", "Reflection", "Request", "Response", "Server", "Service",
    "Status",
];

/// What a new workspace and its service are called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Lower-case letters and digits: the prefix of crates, variables, metrics and headers.
    name: String,
    /// The package of the service, such as `acme.orders.v1`.
    package: String,
    /// The service, such as `Orders`.
    service: String,
    /// Its unary method, such as `GetOrder`.
    method: String,
}

impl Names {
    /// Names what is not given after the product: package `NAME.v1`, service `Name`, method `GetName`.
    ///
    /// # Errors
    /// A name that cannot be one, in one line.
    pub(super) fn new(
        name: &str,
        package: Option<&str>,
        service: Option<&str>,
        method: Option<&str>,
    ) -> anyhow::Result<Names> {
        ensure!(is_segment(name), "{name:?} is not lower-case letters and digits, such as orders");
        let package = package.map_or_else(|| format!("{name}.v1"), str::to_owned);
        let segments = package.split('.');
        ensure!(
            segments.clone().all(is_segment),
            "--package: {package:?} is not lower-case names with dots, such as acme.orders.v1"
        );
        for segment in segments {
            ensure!(!KEYWORDS.contains(&segment), "--package: {segment:?} is a keyword of Rust");
            ensure!(
                !MODULES.contains(&segment),
                "--package: {segment:?} is a module of every workspace"
            );
        }
        ensure!(!KEYWORDS.contains(&name), "{name:?} is a keyword of Rust");
        let service = service.map_or_else(|| capitalised(name), str::to_owned);
        ensure!(is_type(&service), "--service: {service:?} is not a name such as Orders");
        let is_reserved = RESERVED_SERVICES.contains(&service.as_str());
        ensure!(!is_reserved, "--service: {service:?} is part of every workspace");
        let method = method.map_or_else(|| format!("Get{}", capitalised(name)), str::to_owned);
        ensure!(is_type(&method), "--method: {method:?} is not a name such as GetOrder");
        let is_keyword = KEYWORDS.contains(&snake_case(&method).as_str());
        ensure!(!is_keyword, "--method: {method:?} is a keyword of Rust in lower case");
        Ok(Names { name: name.to_owned(), package, service, method })
    }

    /// Returns each name of this workspace with the one that replaces it. Where two match, the first
    /// counts.
    fn replacements(&self) -> Vec<(&'static str, String)> {
        let Names { name, package, service, method } = self;
        let (service_snake, method_snake) = (snake_case(service), snake_case(method));
        let module = package.replace('.', "::");
        vec![
            // The contract.
            ("greet_proto::greet::", format!("{name}_proto::{module}::")),
            ("package greet;", format!("package {package};")),
            ("greet.proto", self.proto_file()),
            ("greet.Greeter", format!("{package}.{service}")),
            ("greeter", service_snake.clone()),
            ("Greeter", service.clone()),
            ("GREETER", service_snake.to_uppercase()),
            ("say_hello", method_snake.clone()),
            ("SayHello", method.clone()),
            ("SAY_HELLO", method_snake.to_uppercase()),
            ("HelloRequest", format!("{method}Request")),
            ("HelloReply", format!("{method}Reply")),
            ("Hello ", format!("{method} ")),
            // The product.
            ("greet", name.clone()),
            ("Greet", capitalised(name)),
            ("GREET", name.to_uppercase()),
        ]
    }

    /// Returns the path of the contract below `proto/`, by the package.
    fn proto_file(&self) -> String {
        format!("{}/{}.proto", self.package.replace('.', "/"), snake_case(&self.service))
    }

    /// Returns `text`, which is a file or a path, with the names of the new workspace.
    pub(super) fn rename(&self, text: &str) -> String {
        let replacements = self.replacements();
        let mut renamed = String::with_capacity(text.len());
        let mut rest = text;
        let starts: Vec<_> =
            replacements.iter().filter_map(|(old, _)| old.chars().next()).collect();
        while let Some(next) = rest.find(&starts[..]) {
            renamed.push_str(&rest[..next]);
            let is_in_word = rest[..next].ends_with(char::is_alphabetic);
            rest = &rest[next..];
            // The ClientHello of TLS is not renamed.
            let found = replacements
                .iter()
                .find(|(old, _)| rest.starts_with(old) && !(is_in_word && *old == "Hello "));
            let (old, new) = found.map_or((&rest[..1], &rest[..1]), |(old, new)| (old, new));
            renamed.push_str(new);
            rest = &rest[old.len()..];
        }
        renamed + rest
    }

    /// Rewrites a document for the command line of the new workspace: `call` takes the place of `hello`,
    /// and prints JSON.
    pub(super) fn rewrite_document(&self, text: &str) -> String {
        let call = |line: &str| {
            let (before, after) = line.split_once("hello --name ")?;
            let (argument, rest) = first_argument(after);
            let json = match argument.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                Some(expanded) => format!(r#""{{\"name\":\"{expanded}\"}}""#),
                None => format!(r#"'{{"name":"{argument}"}}'"#),
            };
            Some(format!("{before}call SayHello --json {json}{rest}"))
        };
        let reply = |line: &str| {
            let name = line.strip_prefix("Hello ")?;
            name.chars().all(char::is_alphabetic).then(|| format!(r#"{{"message":"{line}"}}"#))
        };
        let default_reply = r#"{"message":"Hello "}"#;
        let rewrite = |line: &str| {
            let rewritten = call(line).or_else(|| reply(line));
            let rewritten = rewritten.unwrap_or_else(|| line.to_owned());
            rewritten.replace(r#""Hello greet-cli""#, default_reply) + "\n"
        };
        text.lines().map(rewrite).collect()
    }
}

/// Returns the first argument of a shell command, which may be quoted, and the rest. In double quotes, a
/// command substitution has quotes of its own.
fn first_argument(command: &str) -> (&str, &str) {
    if !command.starts_with('"') {
        return command.split_at(command.find([' ', ';', ')']).unwrap_or(command.len()));
    }
    let mut depth = 0;
    let end = command.char_indices().skip(1).find(|(_, letter)| {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        *letter == '"' && depth == 0
    });
    command.split_at(end.map_or(command.len(), |(position, _)| position + 1))
}

fn is_segment(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(is_allowed)
}

/// Returns whether `name` is in the form of a type. Code generators differ on adjacent capitals.
fn is_type(name: &str) -> bool {
    let bytes = name.as_bytes();
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && bytes.iter().all(u8::is_ascii_alphanumeric)
        && !bytes.windows(2).any(|pair| pair.iter().all(u8::is_ascii_uppercase))
}

fn capitalised(name: &str) -> String {
    name[..1].to_uppercase() + &name[1..]
}

/// Converts the name of a type into that of its module or handler.
fn snake_case(name: &str) -> String {
    let mut snake_case = String::new();
    for (position, letter) in name.char_indices() {
        if position > 0 && letter.is_ascii_uppercase() {
            snake_case.push('_');
        }
        snake_case.push(letter.to_ascii_lowercase());
    }
    snake_case
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Names {
        Names::new("orders", Some("acme.orders.v1"), Some("Shop"), Some("GetOrder")).unwrap()
    }

    #[test]
    fn names_follow_from_that_of_the_product() {
        let expected = Names::new("orders", Some("orders.v1"), Some("Orders"), Some("GetOrders"));
        assert_eq!(Names::new("orders", None, None, None).unwrap(), expected.unwrap());
    }

    #[test]
    fn invalid_names_are_rejected() {
        for bad in ["", "Orders", "my-shop", "1a", "a_b", "type", "match"] {
            assert!(Names::new(bad, None, None, None).is_err(), "{bad}");
        }
        for bad in ["", "acme.", "acme..v1", "Acme.v1", "acme.type.v1", "grpc.v1"] {
            assert!(Names::new("orders", Some(bad), None, None).is_err(), "{bad}");
        }
        for bad in ["", "orders", "Or-ders", "OrdersAPI", "Health", "Mod"] {
            assert!(Names::new("orders", None, Some(bad), None).is_err(), "{bad}");
        }
        for bad in ["get", "GetSKU", "Match"] {
            assert!(Names::new("orders", None, None, Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_form_of_a_name_is_renamed_once() {
        for (old, new) in [
            ("greet-server", "orders-server"),
            ("use greet_proto::framing;", "use orders_proto::framing;"),
            (
                "use greet_proto::greet::greeter_server::{Greeter, GreeterServer};",
                "use orders_proto::acme::orders::v1::shop_server::{Shop, ShopServer};",
            ),
            ("/greet.Greeter/SayHello", "/acme.orders.v1.Shop/GetOrder"),
            ("proto/greet.proto", "proto/acme/orders/v1/shop.proto"),
            ("GREET_LISTEN=:1 greet_connections_open", "ORDERS_LISTEN=:1 orders_connections_open"),
            (
                "say_hello(HelloRequest) -> HelloReply",
                "get_order(GetOrderRequest) -> GetOrderReply",
            ),
            ("alert: GreetDown", "alert: OrdersDown"),
            ("the gRPC header, grep, shell", "the gRPC header, grep, shell"),
            ("`Hello ` and a ClientHello that", "`GetOrder ` and a ClientHello that"),
        ] {
            assert_eq!(orders().rename(old), new);
        }
        // A name that contains one of ours is not renamed again.
        let greetings = Names::new("greetings", None, None, None).unwrap();
        assert_eq!(greetings.rename("greet-cli: Greeter"), "greetings-cli: Greetings");
    }

    #[test]
    fn document_calls_with_json() {
        for (old, new) in [
            (
                "$ greet-cli hello --name Ada",
                r#"$ greet-cli call SayHello --json '{"name":"Ada"}'"#,
            ),
            (
                r#"$ greet-cli hello --name Ada; echo "exit code $?""#,
                r#"$ greet-cli call SayHello --json '{"name":"Ada"}'; echo "exit code $?""#,
            ),
            (
                r#"$ greet-cli hello --name "$(head "x")"; echo "$?""#,
                r#"$ greet-cli call SayHello --json "{\"name\":\"$(head "x")\"}"; echo "$?""#,
            ),
            ("Hello Ada", r#"{"message":"Hello Ada"}"#),
            (r#"rpc ok 1ms  "Hello greet-cli""#, r#"rpc ok 1ms  {"message":"Hello "}"#),
            ("Hello Adagrpc-status: 0", "Hello Adagrpc-status: 0"),
        ] {
            assert_eq!(orders().rewrite_document(old), format!("{new}\n"));
        }
    }
}
