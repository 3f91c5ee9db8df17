//! The manifests in `deploy/kubernetes`, without a cluster: base, components and overlays render and are
//! valid, what they refer to exists, and the daemon accepts their variables.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::harness::command::{capture, program};
use crate::harness::manifests::{Manifests, Rendering};
use crate::harness::programs::{Programs, root};
use crate::harness::tools;

/// The oldest and the newest version whose schemas are checked. Since 1.27 a cluster has `matchLabelKeys` and
/// `unhealthyPodEvictionPolicy` by default.
const VERSIONS: [&str; 2] = ["1.27", "1.37"];
/// Prefixes of the versions of custom resources, which the schemas of Kubernetes do not contain. The models
/// of `prometheus_operator.py` have the first; of the second no package has GRPCRoute.
const CUSTOM: [&str; 2] = ["monitoring.coreos.com/", "gateway.networking.k8s.io/"];
/// The command in `deploy/kubernetes/README.md`.
const DOCUMENTED: &str =
    "kubectl kustomize deploy/kubernetes/overlays/production | kubernetes-validate --strict -";

pub(crate) fn manifests(programs: &Programs) -> anyhow::Result<String> {
    let manifests = Manifests::copy()?;
    let renderings = manifests.render_all()?;
    for version in VERSIONS {
        has_valid_schemas(&renderings, version)?;
    }
    let modelled = has_valid_custom_resources(&renderings)?;
    let policies = meets_policies(&manifests, &renderings)?;
    for rendering in &renderings {
        let name = &rendering.name;
        refers_to_what_exists(rendering).with_context(|| name.clone())?;
        fits_daemon(programs, rendering).with_context(|| name.clone())?;
    }
    runs_documented_command()?;
    Ok(format!(
        "{} renderings valid for {}; {modelled} custom resources fit their models, GRPCRoute has none; \
         {policies} policies of checkov",
        renderings.len(),
        VERSIONS.join(" and "),
    ))
}

fn files(renderings: &[Rendering]) -> impl Iterator<Item = &PathBuf> {
    renderings.iter().map(|rendering| &rendering.file)
}

/// Every resource has the fields of its kind and no other.
fn has_valid_schemas(renderings: &[Rendering], version: &str) -> anyhow::Result<()> {
    let mut validate = tools::checker("kubernetes-validate")?;
    validate.args(["--strict", "--kubernetes-version", version]).args(files(renderings));
    let validated = capture(&mut validate)?.succeeded()?;
    // A kind without a schema is a warning only.
    let valid = validated.lines().filter(|line| line.starts_with("INFO ")).count();
    let resources = renderings.iter().flat_map(|rendering| &rendering.resources);
    let expected = resources.filter(|resource| {
        let version = resource["apiVersion"].as_str().unwrap_or_default();
        !CUSTOM.iter().any(|custom| version.starts_with(custom))
    });
    ensure!(valid == expected.count(), "resources without a schema: {validated}");
    Ok(())
}

/// The resources of the Prometheus Operator fit its models. Returns their number.
fn has_valid_custom_resources(renderings: &[Rendering]) -> anyhow::Result<u64> {
    let imports = "import cloudcoil.models.prometheus_operator";
    let mut check = tools::checker_script(imports, "checkers/prometheus_operator.py")?;
    let count = capture(check.args(files(renderings)))?.succeeded()?;
    Ok(count.trim().parse()?)
}

/// Checkov finds nothing but what `checkov.yaml` excepts. Returns the number of checks that passed.
fn meets_policies(manifests: &Manifests, renderings: &[Rendering]) -> anyhow::Result<u64> {
    let mut checkov = tools::checker("checkov")?;
    checkov.arg("--config-file").arg(manifests.path().join("checkov.yaml"));
    checkov.args(["--quiet", "--output", "json", "--file"]).args(files(renderings));
    let found = capture(&mut checkov)?;
    let report: Value =
        serde_json::from_str(&found.stdout).with_context(|| format!("not a report: {found}"))?;
    let failed = report["results"]["failed_checks"].as_array().context("a list of findings")?;
    let text = |finding: &Value| {
        let fields = ["check_id", "check_name", "resource"].map(|name| finding[name].as_str());
        fields.map(Option::unwrap_or_default).join(" ")
    };
    let failed: BTreeSet<_> = failed.iter().map(text).collect();
    ensure!(failed.is_empty(), "checkov: {failed:?}");
    let count = |name: &str| report["summary"][name].as_u64().unwrap_or_default();
    ensure!(count("parsing_errors") == 0 && count("passed") > 0, "{found}");
    Ok(count("passed"))
}

/// Selectors match the pods, ports are those of the container, and names are those of resources.
fn refers_to_what_exists(rendering: &Rendering) -> anyhow::Result<()> {
    let deployment = rendering.deployment()?;
    let (pod, container) = (rendering.pod()?, rendering.container()?);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let selects = |selector: &Value| {
        let mut selector = selector.as_object().into_iter().flatten().peekable();
        selector.peek().is_some() && selector.all(|(name, value)| labels[name] == *value)
    };
    let has_port = |port: &Value| {
        let ports = container["ports"].as_array().into_iter().flatten();
        ports.into_iter().any(|own| own["name"] == *port || own["containerPort"] == *port)
    };
    let has = |kind: &str, name: &Value| {
        rendering.of_kind(kind).any(|resource| resource["metadata"]["name"] == *name)
    };
    for resource in &rendering.resources {
        let spec = &resource["spec"];
        let list =
            |pointer: &str| spec.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        let is_consistent = match resource["kind"].as_str().unwrap_or_default() {
            "Deployment" => {
                let is_scaled = rendering.of_kind("HorizontalPodAutoscaler").next().is_some();
                let mut spread = list("/template/spec/topologySpreadConstraints");
                selects(&spec["selector"]["matchLabels"])
                    && spread.all(|constraint| selects(&constraint["labelSelector"]["matchLabels"]))
                    && has("ServiceAccount", &pod["serviceAccountName"])
                    && spec["replicas"].is_null() == is_scaled
            }
            "Service" => {
                selects(&spec["selector"])
                    && list("/ports").all(|port| has_port(&port["targetPort"]))
            }
            "PodDisruptionBudget" => selects(&spec["selector"]["matchLabels"]),
            "NetworkPolicy" => {
                let mut ports =
                    list("/ingress").flat_map(|rule| rule["ports"].as_array()).flatten();
                selects(&spec["podSelector"]["matchLabels"])
                    && ports.all(|port| has_port(&port["port"]))
            }
            "PodMonitor" => {
                let job = spec["jobLabel"].as_str().unwrap_or_default();
                selects(&spec["selector"]["matchLabels"])
                    && labels[job].is_string()
                    && list("/podMetricsEndpoints").all(|endpoint| has_port(&endpoint["port"]))
            }
            "HorizontalPodAutoscaler" => has("Deployment", &spec["scaleTargetRef"]["name"]),
            "GRPCRoute" => list("/rules/0/backendRefs")
                .all(|backend| has("Service", &backend["name"]) && has_port(&backend["port"])),
            _ => true,
        };
        ensure!(is_consistent, "refers to something else than the pods: {resource}");
    }
    Ok(())
}

/// The image is that of this version, the daemon knows its variables, its files are mounted, and its drain
/// ends before the kubelet kills it.
fn fits_daemon(programs: &Programs, rendering: &Rendering) -> anyhow::Result<()> {
    let (pod, container) = (rendering.pod()?, rendering.container()?);
    let image = container["image"].as_str().unwrap_or_default();
    let version = concat!(":", env!("CARGO_PKG_VERSION"));
    ensure!(image.ends_with(version), "the image {image} is not that of this version");

    let variables = rendering.environment("pod")?;
    let mut check = program(&programs.server);
    let checked = capture(check.envs(variables.clone()).arg("--print-config"))?;
    ensure!(checked.stderr.is_empty() && checked.status.success(), "{checked}");

    let mounts = container["volumeMounts"].as_array().into_iter().flatten();
    let mounts: Vec<_> = mounts.filter_map(|mount| mount["mountPath"].as_str()).collect();
    for (name, value) in variables.iter().filter(|(_, value)| value.starts_with('/')) {
        let is_mounted = mounts.iter().any(|mount| value.starts_with(mount));
        ensure!(is_mounted, "{name}: no volume has {value}");
    }

    let seconds = |name: &str| {
        let variable = variables.iter().find(|(variable, _)| variable == name);
        let value = variable.and_then(|(_, value)| value.strip_suffix('s')?.parse::<u64>().ok());
        value.with_context(|| format!("{name} is not set in seconds"))
    };
    let drain = seconds("GREET_DRAIN_DELAY")? + seconds("GREET_DRAIN_TIMEOUT")?;
    let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or_default();
    ensure!(grace > drain, "the drain takes {drain} s, the kubelet kills after {grace} s");
    Ok(())
}

/// The command of the README succeeds.
fn runs_documented_command() -> anyhow::Result<()> {
    let readme = root().join("deploy/kubernetes/README.md");
    let readme = std::fs::read_to_string(readme)?;
    ensure!(readme.contains(DOCUMENTED), "the README does not contain: {DOCUMENTED}");
    let validator = tools::checker("kubernetes-validate")?;
    let checkers = Path::new(validator.get_program()).parent().context("it is in a directory")?;
    let path = format!("{}:{}", checkers.display(), std::env::var("PATH")?);
    let script = format!("set -o pipefail; {DOCUMENTED}");
    let mut bash = program("bash");
    let bash = bash.current_dir(root()).env("PATH", path).args(["-c", &script]);
    capture(bash)?.succeeded().map(drop)
}
