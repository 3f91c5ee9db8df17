//! The bill of materials in CycloneDX's JSON: the crates in the programs, for scanners that compare them with
//! advisories. It has no serial number, because the same sources give the same file.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::crates::Crate;
use super::release::{NAME, Release};
use crate::harness::programs::rustc_field;

const STANDARD_LIBRARY: &str = "rust-std";

/// Writes `NAME-VERSION-TARGET.cdx.json`.
pub(super) fn write(release: &Release, crates: &[Crate], directory: &Path) -> anyhow::Result<()> {
    let rust = json!({
        "type": "library",
        "bom-ref": STANDARD_LIBRARY,
        "name": STANDARD_LIBRARY,
        "version": rustc_field("release")?,
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    });
    let components = crates.iter().map(component).chain([rust]);
    let uses = |user: &Crate| {
        let used = user.dependencies.iter().map(String::as_str).chain([STANDARD_LIBRARY]);
        json!({ "ref": user.id(), "dependsOn": used.collect::<Vec<_>>() })
    };
    let programs = ["greet-cli", "greet-server"].map(|name| format!("{name}@{}", release.version));
    let product = json!({ "ref": NAME, "dependsOn": programs });
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": release.timestamp,
            "component": {
                "type": "application",
                "bom-ref": NAME,
                "name": NAME,
                "version": release.version,
                "externalReferences": [{ "type": "vcs", "url": release.repository }],
                "properties": [{ "name": "target", "value": release.target }],
            },
        },
        "components": components.collect::<Vec<_>>(),
        "dependencies": crates.iter().map(uses).chain([product]).collect::<Vec<_>>(),
    });
    let name = format!("{}.cdx.json", release.stem());
    fs::write(directory.join(name), serde_json::to_string_pretty(&bom)? + "\n")?;
    Ok(())
}

fn component(described: &Crate) -> Value {
    let Crate { name, version, licence, checksum, .. } = described;
    let mut component = json!({
        "type": "library",
        "bom-ref": described.id(),
        "name": name,
        "version": version,
        "licenses": [{ "expression": licence }],
    });
    // Only a crate of crates.io has an identifier there.
    if let Some(checksum) = checksum {
        component["purl"] = json!(format!("pkg:cargo/{name}@{}", version.replace('+', "%2B")));
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}
