//! Holds `proto/greet.proto` against the published contract: name for name, number for number,
//! type for type. The original's clients are built from these and must stay valid for ever. Further
//! methods and messages do not concern them.

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

fn contract() -> FileDescriptorProto {
    let set = FileDescriptorSet::decode(greet_proto::FILE_DESCRIPTOR_SET)
        .expect("the embedded descriptor set decodes");
    let file = set.file.into_iter().find(|file| file.name() == "greet.proto");
    file.expect("the set has greet.proto under its canonical name")
}

/// A message as `name { type label name = number; … }`, with everything that could change the wire.
fn shape(message: &DescriptorProto) -> String {
    assert!(message.nested_type.is_empty() && message.enum_type.is_empty());
    assert!(message.oneof_decl.is_empty() && message.reserved_range.is_empty());
    assert!(message.extension_range.is_empty() && message.extension.is_empty());
    let fields = message.field.iter().map(|field| {
        assert_eq!(field.label(), Label::Optional);
        assert_eq!(field.json_name(), field.name());
        assert!(!field.proto3_optional());
        let kind = match field.r#type() {
            Type::String => "string",
            other => panic!("{} has type {other:?}", field.name()),
        };
        format!("{kind} {} = {};", field.name(), field.number())
    });
    format!("{} {{ {} }}", message.name(), fields.collect::<Vec<_>>().join(" "))
}

#[test]
fn the_file_and_its_package_keep_their_names() {
    let file = contract();
    assert_eq!(file.package(), "greet");
    assert_eq!(file.syntax(), "proto3");
}

#[test]
fn the_messages_keep_their_fields_numbers_and_types() {
    let messages = contract().message_type;
    let hello = messages.iter().filter(|it| ["HelloRequest", "HelloReply"].contains(&it.name()));
    let shapes: Vec<_> = hello.map(shape).collect();
    assert_eq!(shapes, ["HelloRequest { string name = 1; }", "HelloReply { string message = 1; }"]);
}

#[test]
fn the_service_keeps_its_unary_method() {
    let services = contract().service;
    let service = services.iter().find(|service| service.name() == "Greeter");
    let methods = &service.expect("the file has the service Greeter").method;
    let method = methods.iter().find(|method| method.name() == "SayHello");
    let method = method.expect("Greeter has the method SayHello");
    assert_eq!(method.input_type(), ".greet.HelloRequest");
    assert_eq!(method.output_type(), ".greet.HelloReply");
    assert!(!method.client_streaming() && !method.server_streaming());
}

#[test]
fn a_request_has_the_bytes_that_every_protobuf_library_writes() {
    let request = greet_proto::greet::HelloRequest { name: "Ada".into() };
    assert_eq!(request.encode_to_vec(), b"\x0a\x03Ada");
    assert_eq!(greet_proto::greet::HelloRequest::default().encode_to_vec(), b"");
}
