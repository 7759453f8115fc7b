//! Which profile the tool is read by: the one for the version that its process turned out to be. Pure.

use super::ProcessSeen;
use crate::agents::{Library, Profile};

/// A tool, the profiles that there are, and what is known of the process that runs.
#[derive(Debug)]
pub(super) struct Choice {
    tool: String,
    library: Library,
    pid: Option<u32>,
    version: Option<String>,
}

impl Choice {
    pub(super) fn new(tool: String, library: Library) -> Self {
        Self { tool, library, pid: None, version: None }
    }

    /// The profile that fits best.
    pub(super) fn profile(&self) -> Option<Profile> {
        self.library.find(&self.tool, self.version.as_deref())
    }

    /// Takes in what the kernel says; `true` if the tool's version is another one now. A version stays known until
    /// another process runs: not every look at a process tells it.
    pub(super) fn learn(&mut self, seen: &ProcessSeen) -> bool {
        let is_other = self.pid.is_some() && seen.pid.is_some() && self.pid != seen.pid;
        self.pid = seen.pid.or(self.pid);
        if seen.version.is_none() && !is_other {
            return false;
        }
        std::mem::replace(&mut self.version, seen.version.clone()) != seen.version
    }

    /// Other profiles: files of them changed.
    pub(super) fn use_library(&mut self, library: Library) {
        self.library = library;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Fit;

    fn seen(pid: u32, version: Option<&str>) -> ProcessSeen {
        ProcessSeen { pid: Some(pid), version: version.map(str::to_owned), ..ProcessSeen::default() }
    }

    #[test]
    fn the_version_of_the_process_that_runs_decides() {
        let mut choice = Choice::new("claude".to_owned(), Library::default());
        let fit = |choice: &Choice| choice.profile().unwrap().fit;
        assert!(matches!(fit(&choice), Fit::Conservative(_)));
        assert!(!choice.learn(&seen(1, None)));
        assert!(choice.learn(&seen(1, Some("2.1.330"))));
        assert_eq!(fit(&choice), Fit::Exact);
        assert!(!choice.learn(&seen(1, None)), "the same process has the same version");
        assert!(!choice.learn(&ProcessSeen::default()), "nobody runs there");
        assert_eq!(fit(&choice), Fit::Exact);
        assert!(choice.learn(&seen(2, None)), "another process may be of any version");
        assert_eq!(fit(&choice), Fit::Conservative("the version that runs is not known".to_owned()));
        assert!(choice.learn(&seen(2, Some("3.0.0"))));
        assert_eq!(fit(&choice), Fit::Conservative("`claude-2.1` was not made for version 3".to_owned()));
    }

    #[test]
    fn a_person_s_own_profile_is_chosen_by_the_same_version() {
        let own = "tool = \"claude\"\nname = \"mine\"\nversions = \">=3, <4\"\n[composer]\nsign = '^> ?'\n";
        let mut choice = Choice::new("claude".to_owned(), Library::default());
        choice.learn(&seen(1, Some("3.0.0")));
        choice.use_library(Library::with([("own.toml".to_owned(), own.to_owned())]).0);
        let profile = choice.profile().unwrap();
        assert_eq!((profile.name.as_str(), profile.fit), ("mine", Fit::Exact));
    }
}
