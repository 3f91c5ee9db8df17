//! The package for Debian. `dpkg-deb` packs a tree; the scripts and the fields beside it are in `debian/`.
//!
//! The package starts and enables nothing: a daemon that listens on all addresses without TLS is a choice of
//! the administrator. An upgrade restarts the daemon if it runs, because it may correct a vulnerability.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::licences;
use super::release::{NAME, Release};
use super::tree::{self, EXAMPLE};
use crate::harness::command::{capture, program};
use crate::harness::tools::apt;

/// The revision of the packaging, behind the version.
pub(crate) const FIRST_REVISION: u32 = 1;
/// The configuration file, which dpkg keeps if the administrator has changed it.
pub(crate) const CONFFILE: &str = "/etc/greet/greet.toml";

const CONTROL: &str = include_str!("debian/control");
const COPYRIGHT: &str = include_str!("debian/copyright");
const CHANGELOG: &str = include_str!("debian/changelog");
const LINTIAN_OVERRIDES: &str = include_str!("debian/lintian-overrides");
const SCRIPTS: [(&str, &str); 3] = [
    ("postinst", include_str!("debian/postinst")),
    ("prerm", include_str!("debian/prerm")),
    ("postrm", include_str!("debian/postrm")),
];
/// The directory of the programs in the units for `/usr/local`, and in those of the package.
const UNIT_PROGRAMS: [&str; 2] = ["/usr/local/bin/", "/usr/bin/"];

/// Writes `NAME_VERSION-REVISION_ARCHITECTURE.deb` with the files of `tree`, and returns its path.
pub(crate) fn write(
    release: &Release,
    tree: &Path,
    revision: u32,
    directory: &Path,
) -> anyhow::Result<PathBuf> {
    apt("dpkg-deb", "--version", "dpkg")?;
    apt("dpkg-shlibdeps", "--version", "dpkg-dev")?;
    let package = tempfile::tempdir()?;
    let package = package.path();
    let units = write_files(tree, package)?;
    let architecture = capture(program("dpkg").arg("--print-architecture"))?.succeeded()?;
    let architecture = architecture.trim();
    let version = format!("{}-{revision}", release.version);
    let substitute = |text: &str| {
        let values = [
            ("@ARCHITECTURE@", architecture),
            ("@DATE@", &release.date),
            ("@HOMEPAGE@", release.repository),
            ("@MAINTAINER@", release.maintainer),
            ("@UNITS@", &units),
            ("@UPSTREAM_VERSION@", release.version),
            ("@VERSION@", &version),
        ];
        values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    };
    let documents = package.join("usr").join(tree::documents());
    fs::write(documents.join("copyright"), substitute(COPYRIGHT))?;
    fs::write(documents.join("changelog.Debian"), substitute(CHANGELOG))?;
    let overrides = package.join("usr/share/lintian/overrides");
    fs::create_dir_all(&overrides)?;
    fs::write(overrides.join(NAME), LINTIAN_OVERRIDES)?;
    compress(package)?;
    write_control(package, &substitute)?;
    shell(package, "chmod -R u=rwX,go=rX . && chmod 755 DEBIAN/p*")?;

    let path = directory.join(format!("{NAME}_{version}_{architecture}.deb"));
    let mut dpkg_deb = program("dpkg-deb");
    // It sets back all times that are later, which are those of all files here.
    dpkg_deb.env("SOURCE_DATE_EPOCH", &release.epoch);
    dpkg_deb.args(["--root-owner-group", "-Zxz", "--build"]).arg(package).arg(&path);
    capture(&mut dpkg_deb)?.succeeded()?;
    Ok(path)
}

/// Writes the files to install, with the names and places of Debian. Returns the names of the units.
fn write_files(tree: &Path, package: &Path) -> anyhow::Result<String> {
    let usr = package.join("usr");
    capture(program("cp").arg("--recursive").arg(tree).arg(&usr))?.succeeded()?;
    let documents = usr.join(tree::documents());
    let rename = |from: PathBuf, to: PathBuf| {
        fs::create_dir_all(to.parent().unwrap_or(&to))?;
        fs::rename(&from, to).with_context(|| format!("could not move `{}`", from.display()))
    };
    rename(usr.join(tree::ZSH_COMPLETIONS), usr.join("share/zsh/vendor-completions"))?;
    rename(documents.join(EXAMPLE), package.join(&CONFFILE[1..]))?;
    rename(documents.join("CHANGELOG.md"), documents.join("changelog"))?;
    for licence in licences::OURS {
        fs::remove_file(documents.join(licence))?; // the file `copyright` has both
    }
    let mut units = Vec::new();
    for entry in fs::read_dir(usr.join(tree::UNITS))? {
        let path = entry?.path();
        let [from, to] = UNIT_PROGRAMS;
        fs::write(&path, fs::read_to_string(&path)?.replace(from, to))?;
        units.push(path.file_name().context("a unit has a name")?.to_string_lossy().into_owned());
    }
    ensure!(!units.is_empty(), "deploy/systemd has no units");
    units.sort();
    Ok(units.join(" "))
}

/// Compresses the manual pages and the long documents, as Debian's policy demands.
fn compress(package: &Path) -> anyhow::Result<()> {
    let (pages, documents) = (tree::MAN_PAGES, tree::documents());
    let compress = format!("gzip -9 -n {pages}/* {documents}/changelog* {documents}/THIRD-PARTY*");
    shell(&package.join("usr"), &compress).map(drop)
}

/// Writes the fields, the scripts, and the checksums by which `dpkg --verify` finds changed files.
fn write_control(package: &Path, substitute: &impl Fn(&str) -> String) -> anyhow::Result<()> {
    let control = package.join("DEBIAN");
    fs::create_dir(&control)?;
    let sums = "find . -type f ! -path './DEBIAN/*' ! -path './etc/*' -printf '%P\\0' \
                | LC_ALL=C sort --zero-terminated | xargs --null md5sum";
    fs::write(control.join("md5sums"), shell(package, sums)?)?;
    fs::write(control.join("conffiles"), format!("{CONFFILE}\n"))?;
    for (name, script) in SCRIPTS {
        fs::write(control.join(name), substitute(script))?;
    }
    // Bytes of the files, because the blocks that they occupy depend on the file system.
    let kib = "find usr etc -type f -printf '%s\\n' \
               | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib }'";
    let fields = substitute(CONTROL).replace("@SIZE@", shell(package, kib)?.trim());
    fs::write(control.join("control"), fields.replace("@DEPENDS@", &libraries(package)?))?;
    Ok(())
}

/// Returns the packages of the libraries that the programs load, with the versions that they need.
fn libraries(package: &Path) -> anyhow::Result<String> {
    let source = tempfile::tempdir()?;
    fs::create_dir(source.path().join("debian"))?;
    // dpkg-shlibdeps runs only beside such a file.
    let control = format!("Source: {NAME}\n\nPackage: {NAME}\nArchitecture: any\n");
    fs::write(source.path().join("debian/control"), control)?;
    let mut shlibdeps = program("dpkg-shlibdeps");
    shlibdeps.current_dir(source.path()).arg("-O");
    for program in ["greet-server", "greet-cli"] {
        shlibdeps.arg(package.join("usr").join(tree::PROGRAMS).join(program));
    }
    let printed = capture(&mut shlibdeps)?.succeeded()?;
    let depends = printed.trim().strip_prefix("shlibs:Depends=");
    Ok(depends.context("dpkg-shlibdeps prints the packages")?.to_owned())
}

fn shell(directory: &Path, script: &str) -> anyhow::Result<String> {
    capture(program("sh").current_dir(directory).args(["-ec", script]))?.succeeded()
}
