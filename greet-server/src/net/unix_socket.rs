//! Creates and removes the file of a Unix socket. A file outlives its process, so a stale one is removed
//! at the start; and any process may replace a file, so one in use is never taken over.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// A socket file created by this process. Its drop removes the file unless another process replaced it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl SocketFile {
    /// Binds `path`. Removes a socket file without a listener first. A socket file with a listener, and a
    /// file that is not a socket, are errors. Does not block.
    pub(crate) fn bind(path: &Path, backlog: i32) -> io::Result<(UnixListener, SocketFile)> {
        // Without the lock, two daemons that start at once could each find a stale file, and one would
        // remove the new socket of the other.
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
    /// The socket still listens here, so no other process considers the file stale between the check and
    /// the removal. A file that cannot be removed is stale for the next start.
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
        let problem = "a file that is not a socket is there; remove it or choose another path";
        return Err(io::Error::new(ErrorKind::AlreadyExists, problem));
    }
    match stream_socket()?.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        // The socket is non-blocking: `WouldBlock` is a listener with a full queue.
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Err(in_use("a process is listening there already")),
    }
}

fn stream_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A lock on `PATH.lock`, which exists only while a socket is bound. A lock on the directory would not
/// do: every user who can open it could hold that.
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
        // The previous holder may have removed the file after this process opened it. A lock on a
        // removed file excludes no other process.
        let opened = device_and_inode(held.metadata()?);
        let current = fs::symlink_metadata(&path).map(device_and_inode);
        if current.is_ok_and(|current| current == opened) {
            Ok(Lock { path, _held: held })
        } else {
            Err(in_use("another process is starting there"))
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // a leftover file does not prevent the next lock
    }
}

fn in_use(problem: &str) -> io::Error {
    io::Error::new(ErrorKind::AddrInUse, problem)
}

fn device_and_inode(metadata: fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
