//! The file of a Unix socket: unlike a port it outlives its process, so it has to be cleaned up,
//! and unlike a port it can be stolen, so it has to be guarded.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixListener;
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
    /// listens on, and a file that is no socket, are left alone and refused. Nothing here waits.
    pub(crate) fn bind(path: &Path, backlog: i32) -> io::Result<(UnixListener, SocketFile)> {
        // Between "is it stale?" and "bind" another starting daemon could do the same, and each
        // would remove the other's fresh socket. The lock makes the three steps one.
        let lock = Lock::acquire(path)?;
        remove_if_stale(path)?;
        let socket = stream_socket()?;
        socket.bind(&SockAddr::unix(path)?)?;
        socket.listen(backlog)?;
        let device_and_inode = device_and_inode(fs::symlink_metadata(path)?);
        drop(lock);
        Ok((socket.into(), SocketFile { path: path.to_owned(), device_and_inode }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    /// While we still listen nobody takes the file for stale; so what is ours now stays ours until
    /// it is removed. Left behind, it would be stale, and the next start would clean up.
    fn drop(&mut self) {
        let current = fs::symlink_metadata(&self.path).map(device_and_inode);
        if current.is_ok_and(|current| current == self.device_and_inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
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
    match stream_socket()?.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        // Non-blocking: `WouldBlock` is a listener whose queue is full.
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Err(in_use("a process is listening there already")),
    }
}

fn stream_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// `PATH.lock`, held while a socket is put in its place and gone afterwards. It is a file of our own
/// because anyone who can open a file can hold its lock, and a directory many can open.
struct Lock {
    path: PathBuf,
    _held: File,
}

impl Lock {
    fn acquire(socket: &Path) -> io::Result<Lock> {
        let mut path = OsString::from(socket);
        path.push(".lock");
        let path = PathBuf::from(path);
        let held =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(in_use("another process is starting there"));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Whoever held it before us may have removed it since we opened it; ours would guard nothing.
        let ours = device_and_inode(held.metadata()?);
        let there = fs::symlink_metadata(&path).map(device_and_inode);
        if there.is_ok_and(|there| there == ours) {
            Ok(Lock { path, _held: held })
        } else {
            Err(in_use("another process is starting there"))
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // an empty file left behind hinders nobody
    }
}

fn in_use(problem: &str) -> io::Error {
    io::Error::new(ErrorKind::AddrInUse, problem)
}

fn device_and_inode(metadata: fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
