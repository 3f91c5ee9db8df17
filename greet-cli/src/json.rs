//! The JSON mapping of protobuf, for messages that are built from descriptors.

use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage as _};
use serde_json::Value;

/// Returns a message as JSON. Fields have the order of the `.proto`, and entries of a map that of
/// their keys. Fails if a value has no JSON, such as a duration beyond its limit.
pub(crate) fn to_json(message: &DynamicMessage) -> Result<Value, String> {
    let mut json = serde_json::to_value(message).map_err(|error| error.to_string())?;
    sort_maps(&mut json, &message.descriptor());
    Ok(json)
}

fn sort_maps(json: &mut Value, descriptor: &MessageDescriptor) {
    for field in descriptor.fields() {
        let (Some(value), Kind::Message(message)) = (json.get_mut(field.json_name()), field.kind())
        else {
            continue;
        };
        match value {
            Value::Array(elements) => elements.iter_mut().for_each(|it| sort_maps(it, &message)),
            Value::Object(entries) if field.is_map() => {
                entries.sort_keys();
                if let Kind::Message(message) = message.map_entry_value_field().kind() {
                    entries.values_mut().for_each(|it| sort_maps(it, &message));
                }
            }
            value => sort_maps(value, &message),
        }
    }
}
