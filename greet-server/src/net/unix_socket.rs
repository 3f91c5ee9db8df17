//! Creates and removes the file of a Unix socket. A file outlives a killed process, so the start
//! removes a stale one. It never removes the file of a socket that another process listens on.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{
    FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::process::geteuid;
use socket2::{Domain, SockAddr, Socket, Type};

/// A socket file created by this process. Its drop removes the file, unless it has been replaced.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl SocketFile {
    /// Binds `path`. Removes a socket file without a listener first. A socket file with a listener,
    /// and a file that is not a socket, are errors. Does not block.
    ///
    /// A client cannot connect before the socket listens, and by then the file has its `mode`. The
    /// umask is not used for it, because it belongs to all threads of the process.
    pub(crate) fn bind(
        path: &Path,
        mode: Option<u32>,
        backlog: i32,
    ) -> io::Result<(UnixListener, SocketFile)> {
        // Without the lock, two daemons that start at once could each find a stale file, and one
        // would remove the new socket of the other.
        let lock = Lock::acquire(path)?;
        remove_if_stale(path)?;
        let socket = stream_socket()?;
        if let Some(mode) = mode {
            limit_mode(&socket, mode);
        }
        socket.bind(&SockAddr::unix(path)?)?;
        let device_and_inode = device_and_inode(fs::symlink_metadata(path)?);
        let file = SocketFile { path: path.to_owned(), device_and_inode };
        if let Some(mode) = mode {
            set_mode(path, mode)?;
        }
        socket.listen(backlog)?;
        drop(lock);
        Ok((socket.into(), file))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    /// The socket still listens here, or the lock is held, so no other process considers the file
    /// stale between the check and the removal. A file that cannot be removed is stale for the next
    /// start.
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
        _ => Err(io::Error::new(ErrorKind::AddrInUse, "a process is listening there already")),
    }
}

fn stream_socket() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Keeps the file from ever having more permissions than `mode`: Linux creates it with the mode of
/// the socket, without the bits of the umask. Elsewhere sockets have no mode, and the call fails.
fn limit_mode(socket: &Socket, mode: u32) {
    #[cfg(target_os = "linux")]
    let _ = rustix::fs::fchmod(socket, rustix::fs::Mode::from_raw_mode(mode));
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, mode);
}

/// Sets the mode of a socket file. If a symlink has replaced the file, its target keeps its mode.
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    let (file, path) = {
        use std::os::fd::AsRawFd as _;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty())?;
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        (file, link)
    };
    let set = fs::set_permissions(path, Permissions::from_mode(mode));
    #[cfg(target_os = "linux")]
    drop(file);
    set
}

/// A lock on `PATH.lock`, which exists only while a socket is bound. A lock on the directory would
/// not work: any user who can open it could hold that lock.
struct Lock {
    path: PathBuf,
    _held: File,
}

impl Lock {
    /// Follows no symlink, and uses no file of another user: in a directory that other users can write,
    /// a symlink could make the daemon create a file elsewhere, and a foreign lock could block it.
    fn acquire(socket: &Path) -> io::Result<Lock> {
        let mut path = OsString::from(socket);
        path.push(".lock");
        let path = PathBuf::from(path);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        // Without waiting for the reader of a FIFO.
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed());
        let error = |kind, problem: &dyn Display| {
            let file = path.display();
            io::Error::new(kind, format!("could not lock `{file}`: {problem}"))
        };
        let held = options.open(&path).map_err(|failed| {
            let file = fs::symlink_metadata(&path).ok();
            match file.as_ref().and_then(problem) {
                Some(problem) => error(failed.kind(), &problem),
                None if failed.kind() == ErrorKind::NotFound => failed, // the directory
                None => error(failed.kind(), &failed),
            }
        })?;
        if let Some(problem) = problem(&held.metadata()?) {
            return Err(error(ErrorKind::PermissionDenied, &problem));
        }
        let contended = || error(ErrorKind::AddrInUse, &"another process is starting there");
        held.try_lock().map_err(|failed| match failed {
            TryLockError::WouldBlock => contended(),
            TryLockError::Error(failed) => error(failed.kind(), &failed),
        })?;
        // The previous holder may have removed the file after this process opened it. A lock on a
        // removed file excludes no other process.
        let opened = device_and_inode(held.metadata()?);
        let current = fs::symlink_metadata(&path).map(device_and_inode);
        if current.is_ok_and(|current| current == opened) {
            Ok(Lock { path, _held: held })
        } else {
            Err(contended())
        }
    }
}

/// Returns why a file cannot be the lock of this process.
fn problem(file: &Metadata) -> Option<String> {
    if file.is_symlink() {
        return Some("it is a symbolic link; remove it".to_owned());
    }
    if !file.is_file() {
        return Some("it is not a regular file; remove it".to_owned());
    }
    let owner = file.uid();
    let is_foreign = owner != geteuid().as_raw();
    is_foreign.then(|| format!("it belongs to user {owner}; remove it"))
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // a leftover file does not prevent the next lock
    }
}

fn device_and_inode(metadata: Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
