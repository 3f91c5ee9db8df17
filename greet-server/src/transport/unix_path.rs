//! The file of a Unix socket: unlike a port it outlives its process, so it has to be cleaned up,
//! and unlike a port it can be stolen, so it has to be guarded.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// A socket file that we made. Dropping it removes the file, unless another process has replaced it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl SocketFile {
    /// Binds `path`. A socket file that nobody listens on is removed first; one that somebody
    /// listens on, and a file that is no socket, are left alone and refused.
    pub(crate) fn bind(path: &Path, backlog: i32) -> io::Result<(UnixListener, SocketFile)> {
        // Between "is it stale?" and "bind" another starting daemon could do the same, and each
        // would remove the other's fresh socket. The directory's lock makes the three steps one.
        let _one_at_a_time = lock_directory_of(path)?;
        remove_if_stale(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(backlog)?;
        let file = SocketFile { path: path.to_owned(), device_and_inode: device_and_inode(path)? };
        Ok((socket.into(), file))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let Ok(_one_at_a_time) = lock_directory_of(&self.path) else {
            return;
        };
        if device_and_inode(&self.path).is_ok_and(|current| current == self.device_and_inode) {
            let _ = fs::remove_file(&self.path); // left behind, it is stale: the next start cleans up
        }
    }
}

fn lock_directory_of(path: &Path) -> io::Result<File> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let directory = File::open(directory)?;
    directory.lock()?;
    Ok(directory)
}

fn remove_if_stale(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_socket() {
        let problem = "a file is there that is not a socket; remove it or choose another path";
        return Err(io::Error::new(ErrorKind::AlreadyExists, problem));
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another process is listening there")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

fn device_and_inode(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
