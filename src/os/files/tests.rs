use super::*;

#[test]
fn a_failed_replacement_leaves_the_old_bytes_and_no_temporary() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("state.json");
    fs::create_dir(&target).unwrap();
    assert!(replace(&target, b"new", Durability::Process).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "only the target is left");
}

#[test]
fn links_folders_and_pipes_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "x").unwrap();
    let link = folder.path().join("manifest.json");
    std::os::unix::fs::symlink(&secret, &link).unwrap();
    assert!(matches!(read(&link), Err(FileError::NotPlain { what: "a symbolic link", .. })));
    assert!(matches!(read(folder.path()), Err(FileError::NotPlain { what: "a folder", .. })));
}

#[test]
fn a_dead_writers_temporary_goes_at_once_and_a_living_ones_stays() {
    let folder = tempfile::tempdir().unwrap();
    let living = folder.path().join(format!(".state.json.{}.tmp", writer_mark(&process::myself())));
    let myself = process::myself();
    let identity = ProcessIdentity { start_ticks: myself.start_ticks + 1, ..myself };
    let left = folder.path().join(format!(".state.json.{}.tmp", writer_mark(&identity)));
    for path in [&living, &left] {
        fs::write(path, "x").unwrap();
    }
    assert_eq!(sweep_temporaries(folder.path()), 1);
    assert!(living.exists() && !left.exists());
}

#[test]
fn only_our_own_temporaries_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let ours = format!(".state.json.{}.tmp", Uuid::new_v4().simple());
    for name in [ours.as_str(), ".notes.tmp", "state.json", ".vim.swp"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    assert_eq!(sweep_temporaries(folder.path()), 0, "a young one may be somebody's work of this moment");
    let old = std::time::SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder.path()).unwrap() {
        File::options().write(true).open(entry.unwrap().path()).unwrap().set_modified(old).unwrap();
    }
    assert_eq!(sweep_temporaries(folder.path()), 1);
    assert!(!folder.path().join(ours).exists());
    assert!(folder.path().join(".notes.tmp").exists());
}
