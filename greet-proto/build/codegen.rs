//! Generates Rust code from a folder of `.proto` files: messages, clients, servers, and for every
//! server an implementation of `greet_proto::service::GeneratedService`.
//!
//! Build scripts include this file as a module. It writes two files to `OUT_DIR`:
//! [`DESCRIPTOR_SET_FILE`], which the crate must embed as `crate::FILE_DESCRIPTOR_SET`, and
//! [`PACKAGES_FILE`], which the crate includes: every package as nested modules. So a new `.proto`
//! changes no line outside its folder.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use prost::Message as _;
use prost_build::{Method, Service, ServiceGenerator};

const DESCRIPTOR_SET_FILE: &str = "descriptors.binpb";
const PACKAGES_FILE: &str = "packages.rs";

/// Generates the code of every `.proto` below `folder`, the root of their canonical names.
pub(crate) fn generate(folder: &str) -> Result<(), Box<dyn Error>> {
    // Cargo looks at every file below a folder.
    println!("cargo::rerun-if-changed={folder}");

    let descriptors = protox::compile(proto_files(Path::new(folder))?, [folder])?;
    let out_dir = env::var("OUT_DIR")?;
    fs::write(Path::new(&out_dir).join(DESCRIPTOR_SET_FILE), descriptors.encode_to_vec())?;
    // A new method must not break the implementations that lack it.
    let tonic = tonic_prost_build::configure().generate_default_stubs(true);
    prost_build::Config::new()
        .service_generator(Box::new(DescribedServices { tonic: tonic.service_generator() }))
        .include_file(PACKAGES_FILE)
        .compile_fds(descriptors)?;
    Ok(())
}

/// Returns the `.proto` files below `root`, sorted so that the output is the same everywhere.
fn proto_files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "proto") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Generates what tonic generates, and `GeneratedService` for each server.
struct DescribedServices {
    tonic: Box<dyn ServiceGenerator>,
}

impl ServiceGenerator for DescribedServices {
    fn generate(&mut self, service: Service, code: &mut String) {
        let description = description(&service);
        self.tonic.generate(service, code);
        code.push_str(&description);
    }
}

fn description(service: &Service) -> String {
    let module = format!("{}_server", snake_case(&service.name));
    let (service_trait, server) = (&service.name, format!("{}Server", service.name));
    let visits: String = service.methods.iter().map(|method| visit(service, method)).collect();
    format!(
        "impl<T: {module}::{service_trait}> ::greet_proto::service::GeneratedService
            for {module}::{server}<T>
        {{
            type Implementation = T;

            const DESCRIPTOR_SET: &'static [u8] = crate::FILE_DESCRIPTOR_SET;

            fn from_shared(implementation: ::std::sync::Arc<T>, max_message_bytes: usize) -> Self {{
                Self::from_arc(implementation)
                    .accept_compressed(::tonic::codec::CompressionEncoding::Gzip)
                    .max_decoding_message_size(max_message_bytes)
            }}

            fn serve(
                &self,
                request: ::tonic::codegen::http::Request<::tonic::body::Body>,
            ) -> ::tonic::codegen::BoxFuture<
                ::tonic::codegen::http::Response<::tonic::body::Body>,
                ::std::convert::Infallible,
            > {{
                ::tonic::codegen::Service::call(&mut self.clone(), request)
            }}

            fn visit_methods<V: ::greet_proto::service::MethodVisitor<T>>(visitor: &mut V) {{
                {visits}
            }}
        }}"
    )
}

fn visit(service: &Service, method: &Method) -> String {
    // A file without a package declares `Service`, not `.Service`.
    let dot = if service.package.is_empty() { "" } else { "." };
    let path = format!("/{}{dot}{}/{}", service.package, service.proto_name, method.proto_name);
    let (client_streaming, server_streaming) = (method.client_streaming, method.server_streaming);
    let descriptor = format!(
        "::greet_proto::service::MethodDescriptor {{
            path: {path:?},
            is_client_streaming: {client_streaming},
            is_server_streaming: {server_streaming},
        }}"
    );
    if client_streaming || server_streaming {
        format!("visitor.streaming({descriptor});")
    } else {
        let handler = &method.name;
        format!("visitor.unary({descriptor}, |service, request| T::{handler}(service, request));")
    }
}

/// Converts as tonic does for the module of a server, which prost's conversion is not.
fn snake_case(name: &str) -> String {
    let mut snake_case = String::new();
    for (position, letter) in name.char_indices() {
        if position > 0 && letter.is_uppercase() {
            snake_case.push('_');
        }
        snake_case.push(letter.to_ascii_lowercase());
    }
    snake_case
}
