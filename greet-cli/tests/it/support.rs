//! The binary, and servers for it to meet: the real one in-process, and fakes of a few lines.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use greet_proto::{Greeter, HelloReply, HelloRequest};
use greet_server::config;
use greet_server::{Greeting, Server};
use serde_json::Value;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

/// What a run of the binary left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Ran {
    /// Standard output, standard error and exit code at one look.
    #[track_caller]
    pub(crate) fn left(self, stdout: &str, stderr: &str, code: i32) {
        assert_eq!(
            (self.stdout.as_str(), self.stderr.as_str(), self.code),
            (stdout, stderr, Some(code))
        );
    }

    /// The object on the only line of standard output.
    #[track_caller]
    pub(crate) fn object(&self) -> Value {
        let mut objects = self.objects();
        assert_eq!(objects.len(), 1, "{self:?}");
        objects.remove(0)
    }

    /// The objects on standard output, each as its schema has it.
    #[track_caller]
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| object(line)).collect()
    }
}

/// An object of greet-cli's, checked against the schema that it names.
#[track_caller]
pub(crate) fn object(line: &str) -> Value {
    let object: Value = serde_json::from_str(line).unwrap();
    let schema = match object["schema"].as_str() {
        Some("greet.hello/v1") => include_str!("../../schema/hello.schema.json"),
        Some("greet.health/v1") => include_str!("../../schema/health.schema.json"),
        Some("greet.diagnose/v1") => include_str!("../../schema/diagnose.schema.json"),
        Some("greet.load/v1") => include_str!("../../schema/load.schema.json"),
        Some("greet.errors/v1") => include_str!("../../schema/errors.schema.json"),
        Some("greet.tally/v1") => include_str!("../../schema/tally.schema.json"),
        other => panic!("no schema of the name {other:?}"),
    };
    let schema = serde_json::from_str(schema).unwrap();
    if let Err(problem) = jsonschema::draft202012::validate(&schema, &object) {
        panic!("{problem} at {}: {line}", problem.instance_path());
    }
    object
}

/// `greet-cli` in an empty environment.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greet-cli"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn run(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

/// `greet-cli --target TARGET ARGUMENTS…`
pub(crate) fn greet(target: &str, arguments: &[&str]) -> Ran {
    run(command(&[&["--target", target], arguments].concat()))
}

/// The real server in a thread of its own; it stops when this is dropped.
pub(crate) struct Daemon {
    /// As announced.
    pub(crate) target: String,
    drain: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Daemon {
    pub(crate) fn start(flags: &[&str]) -> Daemon {
        Daemon::with_greeter(flags, Greeting::new(4_096))
    }

    pub(crate) fn with_greeter(flags: &[&str], greeter: impl Greeter + Clone) -> Daemon {
        let listens = flags.iter().any(|flag| flag.starts_with("--listen"));
        let listen: &[&str] = if listens { &[] } else { &["--listen=127.0.0.1:0"] };
        let arguments = [&["greet-server", "--workers=1", "--drain-timeout=100ms"], listen, flags];
        let config = config::load(arguments.concat()).unwrap().config;
        let (drain, drained) = oneshot::channel();
        let (announce, announced) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = Server::bind(config, greeter).await.unwrap();
                announce.send(server.addresses().remove(0)).unwrap();
                let drained = async { drained.await.unwrap_or(()) };
                server.run(drained, std::future::pending()).await.unwrap();
            });
        });
        let target = announced.recv().unwrap();
        Daemon { target, drain: Some(drain), thread: Some(thread) }
    }

    /// The first signal.
    pub(crate) fn drain(&mut self) {
        drop(self.drain.take());
    }

    /// Drains, and returns once the health service reports NOT_SERVING.
    pub(crate) fn drain_until_not_serving(&mut self) {
        let mut watch = command(&["--target", &self.target, "health", "--watch"]);
        let mut watch = watch.stdout(Stdio::piped()).spawn().unwrap();
        let mut states = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(states.next().unwrap().ends_with(" SERVING"));
        self.drain();
        assert!(states.next().unwrap().ends_with(" NOT_SERVING"));
        watch.kill().unwrap();
        watch.wait().unwrap();
    }

    pub(crate) fn address(&self) -> &str {
        self.target.split_once("//").unwrap().1
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.drain();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Accepts one connection and does `what` with it; then it is closed. Returns the address.
pub(crate) fn fake(what: impl FnOnce(TcpStream) + Send + 'static) -> String {
    fakes([Box::new(what) as Box<_>])
}

/// Does something else with each connection that comes.
pub(crate) fn fakes<const N: usize>(
    what: [Box<dyn FnOnce(TcpStream) + Send + 'static>; N],
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for what in what {
            let (stream, _) = listener.accept().unwrap();
            thread::spawn(move || what(stream));
        }
    });
    address
}

/// Does `what` with every connection that comes. Returns the address.
pub(crate) fn serve(what: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let what = what.clone();
            thread::spawn(move || what(stream.unwrap()));
        }
    });
    address
}

/// Agrees on TLS, or does not, and says nothing beyond that.
pub(crate) fn serve_tls(config: Arc<rustls::ServerConfig>) -> String {
    serve(move |mut stream| {
        let mut session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        while let Ok(moved) = session.complete_io(&mut stream)
            && moved != (0, 0)
        {}
        let _ = session.write_tls(&mut stream); // an alert, if it came to that
        let _ = stream.shutdown(std::net::Shutdown::Write);
        listen_forever(stream);
    })
}

/// Agrees on TLS, or says in an alert why it does not, and is gone without another look.
pub(crate) fn serve_tls_and_go(config: Arc<rustls::ServerConfig>) -> String {
    serve(move |mut stream| {
        let mut session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        while session.is_handshaking() && session.complete_io(&mut stream).is_ok() {}
        let _ = session.write_tls(&mut stream);
    })
}

/// Reads until the peer closes, and says nothing.
pub(crate) fn listen_forever(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Says `words` to a peer that has spoken, and closes when it does.
pub(crate) fn say(
    words: impl AsRef<[u8]> + Clone + Send + 'static,
) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |mut stream| {
        let _ = stream.read(&mut [0; 4_096]);
        let _ = stream.write_all(words.as_ref());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        listen_forever(stream);
    }
}

/// An address that nobody listens on.
pub(crate) fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Answers a name with the status of that number, hangs on "hang", and shows metadata.
#[derive(Clone)]
pub(crate) struct Scripted;

#[tonic::async_trait]
impl Greeter for Scripted {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let metadata = request.metadata().clone();
        let name = request.into_inner().name;
        if name == "hang" {
            std::future::pending::<()>().await;
        }
        if let Ok(code) = name.parse::<i32>() {
            let mut status = Status::new(code.into(), "as asked");
            status.metadata_mut().insert("x-why", "test".parse().unwrap());
            return Err(status);
        }
        let mut reply = Response::new(HelloReply { message: format!("Hello {name}") });
        for key in ["x-ascii", "user-agent", "grpc-timeout"] {
            if let Some(value) = metadata.get(key) {
                reply.metadata_mut().insert(
                    format!("seen-{key}").parse::<tonic::metadata::AsciiMetadataKey>().unwrap(),
                    value.clone(),
                );
            }
        }
        if let Some(value) = metadata.get_bin("x-bin") {
            reply.metadata_mut().insert_bin("seen-bin", value.clone());
        }
        Ok(reply)
    }
}
