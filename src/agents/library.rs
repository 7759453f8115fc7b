//! The profiles that there are: those that come with the program, and a person's own in front of them. Pure.

use super::{profile::Profile, rules::ProfileError};

/// A person's own profiles, and behind them the built-in ones.
#[derive(Debug, Clone, Default)]
pub struct Library {
    own: Vec<Profile>,
}

/// A profile of a person's own that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {error}")]
pub struct BadProfile {
    /// The name that it was given under.
    pub file: String,
    /// What is wrong with it.
    pub error: ProfileError,
}

impl Library {
    /// Takes texts, each with the name to call it by when something is wrong with it. What cannot be used is left out,
    /// and said.
    pub fn with(texts: impl IntoIterator<Item = (String, String)>) -> (Self, Vec<BadProfile>) {
        let (mut own, mut bad) = (Vec::new(), Vec::new());
        for (file, text) in texts {
            match Profile::from_toml(&text) {
                Ok(profile) => own.push(profile),
                Err(error) => bad.push(BadProfile { file, error }),
            }
        }
        (Self { own }, bad)
    }

    /// The profile for a tool and the version that runs. A person's own wins where it fits as well as a built-in one;
    /// of a version that nobody knows, always.
    pub fn find(&self, tool: &str, version: Option<&str>) -> Option<Profile> {
        let own = || self.own.iter().filter(|profile| profile.tool == tool).cloned();
        if version.is_none() && own().next().is_some() {
            return Profile::nearest(own(), None);
        }
        Profile::nearest(own().chain(Profile::built_in(tool)), version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::Fit;

    const OWN: &str = "tool = \"claude\"\nname = \"mine\"\nversions = \">=2.1, <2.2\"\n[composer]\nsign = '^> ?'\n";

    fn library(text: &str) -> (Library, Vec<BadProfile>) {
        Library::with([("claude.toml".to_owned(), text.to_owned())])
    }

    #[test]
    fn a_person_s_own_profile_wins_and_the_others_stay() {
        let (library, bad) = library(OWN);
        assert!(bad.is_empty());
        let name = |tool: &str, version| library.find(tool, version).map(|profile| profile.name);
        assert_eq!(name("claude", Some("2.1.330")).as_deref(), Some("mine"));
        assert_eq!(name("claude", None).as_deref(), Some("mine"));
        assert_eq!(name("codex", Some("0.169.0")).as_deref(), Some("codex-0.16"));
        assert_eq!(name("bash", None), None);
    }

    #[test]
    fn for_another_version_the_built_in_one_is_taken() {
        let (library, _) = library(&OWN.replace(">=2.1, <2.2", ">=3, <4"));
        let found = library.find("claude", Some("2.1.330")).unwrap();
        assert_eq!((found.name.as_str(), found.fit), ("claude-2.1", Fit::Exact));
    }

    #[test]
    fn a_bad_one_is_named_and_the_built_in_one_stays() {
        let (library, bad) = library(&OWN.replace("sign", "sing"));
        assert!(bad[0].to_string().starts_with("claude.toml: line 5: unknown field `sing`"), "{}", bad[0]);
        assert_eq!(library.find("claude", Some("2.1.330")).unwrap().name, "claude-2.1");
    }
}
