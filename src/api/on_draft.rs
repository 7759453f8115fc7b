//! What becomes of a prompt that finds somebody's draft in the composer: the words of the header `Agents-On-Draft`. Pure.

/// What to do with a draft that stands where the prompt is to be typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDraft {
    /// Wait until it is submitted or cleared.
    #[default]
    Wait,
    /// Fail at once.
    Refuse,
    /// Have the tool keep it aside meanwhile, where that is proven to bring it back; else wait.
    Stash,
}

impl OnDraft {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Wait, Self::Refuse, Self::Stash];

    /// The word on the wire and in the store.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Refuse => "refuse",
            Self::Stash => "stash",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_exact() {
        for one in OnDraft::ALL {
            assert_eq!(OnDraft::from_name(one.name()), Some(one));
        }
        for wrong in ["", "Wait", "wait ", "restore"] {
            assert_eq!(OnDraft::from_name(wrong), None);
        }
    }
}
