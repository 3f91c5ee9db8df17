//! The Kubernetes manifests as kubectl renders them, and what the kubelet takes from the Deployment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;
use tempfile::TempDir;

use super::command::capture;
use super::programs::root;
use super::sources::files;
use super::tools;

/// The folder with base, components and overlays.
const FOLDER: &str = "deploy/kubernetes";
/// Units of quantities in the manifests.
const UNITS: [(&str, f64); 4] =
    [("m", 0.001), ("Ki", 1_024.0), ("Mi", 1_048_576.0), ("Gi", 1_073_741_824.0)];

/// A copy of the folder, to which kustomizations can be added: Kustomize accepts only relative paths.
#[derive(Debug)]
pub(crate) struct Manifests {
    copy: TempDir,
}

/// The resources of a kustomization.
#[derive(Debug)]
pub(crate) struct Rendering {
    pub(crate) name: String,
    /// The output of kubectl.
    pub(crate) file: PathBuf,
    pub(crate) resources: Vec<Value>,
}

impl Manifests {
    pub(crate) fn copy() -> anyhow::Result<Manifests> {
        let copy = tempfile::tempdir()?;
        for path in files(&[FOLDER])? {
            let target = copy.path().join(path.strip_prefix(FOLDER)?);
            fs::create_dir_all(target.parent().unwrap_or(copy.path()))?;
            fs::copy(root().join(path), target)?;
        }
        Ok(Manifests { copy })
    }

    /// Renders the base, the base with each component and with all of them, and the overlays.
    pub(crate) fn render_all(&self) -> anyhow::Result<Vec<Rendering>> {
        let components = self.folders("components")?;
        let mut renderings = vec![self.render("base")?];
        for component in &components {
            renderings.push(self.render_with(component, &[component])?);
        }
        let all: Vec<_> = components.iter().map(String::as_str).collect();
        renderings.push(self.render_with("all-components", &all)?);
        for overlay in self.folders("overlays")? {
            renderings.push(self.render(&format!("overlays/{overlay}"))?);
        }
        Ok(renderings)
    }

    /// Renders the kustomization in a folder.
    pub(crate) fn render(&self, folder: &str) -> anyhow::Result<Rendering> {
        let rendered =
            capture(tools::kubectl()?.arg("kustomize").arg(self.copy.path().join(folder)))?;
        let file = self.copy.path().join(format!("{}.yaml", folder.replace('/', "-")));
        fs::write(&file, rendered.succeeded()?)?;
        let mut parse = tools::checker_script("import yaml", "checkers/resources.py")?;
        let resources = capture(parse.arg(&file))?.succeeded()?;
        Ok(Rendering {
            name: folder.to_owned(),
            file,
            resources: serde_json::from_str(&resources)?,
        })
    }

    /// Renders the base with components.
    fn render_with(&self, name: &str, components: &[&str]) -> anyhow::Result<Rendering> {
        let name = format!("base-with-{name}");
        let components: Vec<_> =
            components.iter().map(|component| format!("../components/{component}")).collect();
        let kustomization = serde_json::json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../base"],
            "components": components,
        });
        let folder = self.copy.path().join(&name);
        fs::create_dir(&folder)?;
        fs::write(folder.join("kustomization.yaml"), kustomization.to_string())?;
        self.render(&name)
    }

    fn folders(&self, parent: &str) -> anyhow::Result<Vec<String>> {
        let entries = fs::read_dir(self.copy.path().join(parent))?;
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    pub(crate) fn path(&self) -> &Path {
        self.copy.path()
    }
}

impl Rendering {
    /// Returns the resources of a kind.
    pub(crate) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.resources.iter().filter(move |resource| resource["kind"] == kind)
    }

    pub(crate) fn deployment(&self) -> anyhow::Result<&Value> {
        self.of_kind("Deployment")
            .next()
            .with_context(|| format!("{} has no Deployment", self.name))
    }

    /// Returns the spec of the pods.
    pub(crate) fn pod(&self) -> anyhow::Result<&Value> {
        Ok(&self.deployment()?["spec"]["template"]["spec"])
    }

    /// Returns the only container of the pods.
    pub(crate) fn container(&self) -> anyhow::Result<&Value> {
        Ok(&self.pod()?["containers"][0])
    }

    /// Returns the variables that the container has in a pod called `pod_name`.
    pub(crate) fn environment(&self, pod_name: &str) -> anyhow::Result<Vec<(String, String)>> {
        let container = self.container()?;
        let variables = container["env"].as_array().context("the container has variables")?;
        let variable = |variable: &Value| {
            let source = &variable["valueFrom"];
            let value = if let Some(value) = variable["value"].as_str() {
                value.to_owned()
            } else if source["fieldRef"]["fieldPath"] == "metadata.name" {
                pod_name.to_owned()
            } else {
                resource(container, &source["resourceFieldRef"])
                    .with_context(|| format!("the value of {variable} is not supported"))?
                    .to_string()
            };
            let name = variable["name"].as_str().context("a variable has a name")?;
            Ok((name.to_owned(), value))
        };
        variables.iter().map(variable).collect()
    }
}

/// Converts a quantity such as `250m` or `512Mi`.
pub(crate) fn quantity(text: &str) -> Option<f64> {
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
    let (number, factor) = unit.unwrap_or((text, &1.0));
    Some(number.parse::<f64>().ok()? * factor)
}

/// Returns the value of a `resourceFieldRef`, which the kubelet rounds up to a multiple of the divisor.
fn resource(container: &Value, reference: &Value) -> Option<u64> {
    let (list, name) = reference["resource"].as_str()?.split_once('.')?;
    let value = quantity(container["resources"][list][name].as_str()?)?;
    Some((value / quantity(reference["divisor"].as_str()?)?).ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_units_of_kubernetes() {
        for (text, value) in [("250m", 0.25), ("2", 2.0), ("512Mi", 536_870_912.0)] {
            assert_eq!(quantity(text), Some(value), "{text}");
        }
        assert_eq!(quantity("512 MB"), None);
    }

    #[test]
    fn workers_follow_requested_cores_rounded_up() {
        for (cpu, workers) in [("250m", 1), ("1", 1), ("1500m", 2), ("2", 2)] {
            let container = serde_json::json!({ "resources": { "requests": { "cpu": cpu } } });
            let reference = serde_json::json!({ "resource": "requests.cpu", "divisor": "1" });
            assert_eq!(resource(&container, &reference), Some(workers), "{cpu}");
        }
    }
}
