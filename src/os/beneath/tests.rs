use std::{
    os::unix::fs::symlink,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;

fn world() -> (tempfile::TempDir, PathBuf, Beneath) {
    let world = tempfile::tempdir().unwrap();
    let root = world.path().join("root");
    std::fs::create_dir(&root).unwrap();
    std::fs::create_dir(world.path().join("outside")).unwrap();
    write(&world.path().join("outside/secret"), b"secret");
    let beneath = Beneath::open(&root).unwrap();
    (world, root, beneath)
}

#[expect(clippy::disallowed_methods, reason = "a test plays the outsider")]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn files_come_and_go_with_their_folders() {
    let (_world, root, beneath) = world();
    beneath.write("a/b/one.md", b"one").unwrap();
    beneath.append("a/b/one.md", b" two").unwrap();
    beneath.append("c/new.md", b"x").unwrap();
    assert_eq!(beneath.read("a/b/one.md", 100).unwrap(), b"one two");
    let paths: Vec<String> = beneath.tree("").unwrap().into_iter().map(|entry| entry.path).collect();
    assert_eq!(paths, ["a", "a/b", "a/b/one.md", "c", "c/new.md"]);
    assert_eq!(beneath.tree("a/b").unwrap()[0].path, "a/b/one.md");
    assert_eq!(beneath.look("a/b/one.md").unwrap(), Some((Kind::File, Some(7))));
    assert_eq!(beneath.look("a/b").unwrap(), Some((Kind::Directory, None)));
    assert_eq!(beneath.look("a/b/one.md/x").unwrap(), None);
    assert!(matches!(beneath.read("a/b/one.md", 3), Err(BeneathError::TooMuch(_))));
    assert!(matches!(beneath.read("a", 3), Err(BeneathError::Kind("a folder"))));
    assert!(matches!(beneath.write("a/b", b""), Err(BeneathError::Kind("a folder"))));
    assert!(matches!(beneath.write("a/b/one.md/x", b""), Err(BeneathError::Kind(_))));
    assert!(matches!(beneath.read("nothing", 3), Err(BeneathError::Missing)));
    beneath.remove("a").unwrap();
    assert!(matches!(beneath.remove("a"), Err(BeneathError::Missing)));
    assert!(!root.join("a").exists() && root.join("c/new.md").exists());
}

#[test]
fn links_lead_nowhere_outside() {
    let (world, root, beneath) = world();
    let outside = world.path().join("outside");
    symlink(&outside, root.join("away")).unwrap();
    symlink("../outside/secret", root.join("file")).unwrap();
    symlink("/proc/self/root/etc/passwd", root.join("magic")).unwrap();
    symlink("../../outside", root.join("up")).unwrap();
    for path in ["away/secret", "file", "magic", "up/secret"] {
        assert!(matches!(beneath.read(path, 100), Err(BeneathError::Escapes)), "{path}");
        assert!(matches!(beneath.write(path, b"x"), Err(BeneathError::Escapes)), "{path}");
        assert!(matches!(beneath.append(path, b"x"), Err(BeneathError::Escapes)), "{path}");
    }
    assert!(matches!(beneath.look("file"), Err(BeneathError::Escapes)));
    assert!(matches!(beneath.tree("away"), Err(BeneathError::Escapes)));
    assert!(matches!(beneath.remove("away/secret"), Err(BeneathError::Escapes)));
    assert_eq!(beneath.tree("").unwrap().len(), 4, "links are listed and not followed");
    // A link goes, and what it leads to stays; so it is in a folder that goes.
    beneath.remove("file").unwrap();
    beneath.make_folders("d/e").unwrap();
    symlink(&outside, root.join("d/e/away")).unwrap();
    beneath.remove("d").unwrap();
    assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"secret");
    // One that stays inside is written through.
    beneath.write("real/page", b"1").unwrap();
    symlink("real/page", root.join("inner")).unwrap();
    beneath.write("inner", b"2").unwrap();
    beneath.append("inner", b"3").unwrap();
    assert_eq!(beneath.read("real/page", 9).unwrap(), b"23");
    assert!(root.join("inner").is_symlink());
    // The folder itself is no link.
    symlink(&root, world.path().join("linked")).unwrap();
    assert!(Beneath::open(&world.path().join("linked")).is_err());
}

/// Ends the other thread, also when this one fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_link_that_is_swapped_in_meanwhile_leads_nowhere_outside() {
    let (world, root, beneath) = world();
    let outside = world.path().join("outside");
    std::fs::create_dir(root.join("folder")).unwrap();
    symlink(&outside, root.join("link")).unwrap();
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let root = File::open(&root).unwrap();
            while !ends.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&root, "folder", &root, "link", exchange).unwrap();
            }
        });
        let _ends = Ends(&ends);
        for n in 0..200 {
            let path = "folder/secret";
            if let Ok(read) = beneath.read(path, 100) {
                assert_eq!(read, b"inside", "try {n}");
            }
            drop(beneath.write(path, b"inside"));
            drop(beneath.append("folder/more", b"x"));
            drop(beneath.tree("folder"));
            drop(beneath.remove("folder/secret"));
        }
    });
    assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"secret");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn a_pipe_is_no_page_and_what_a_dead_writer_left_is_not_listed() {
    let (_world, root, beneath) = world();
    rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert!(matches!(beneath.read("pipe", 9), Err(BeneathError::Kind(_))));
    assert!(beneath.append("pipe", b"x").is_err());
    write(&root.join(".agents-1.tmp"), b"x");
    assert_eq!(beneath.tree("").unwrap().len(), 1);
    let deep = (0..70).map(|_| "d").collect::<Vec<_>>().join("/");
    beneath.make_folders(&deep).unwrap();
    assert!(matches!(beneath.tree(""), Err(BeneathError::TooMuch(_))));
    assert!(matches!(beneath.remove("d"), Err(BeneathError::TooMuch(_))));
}
