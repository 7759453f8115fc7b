//! Mail: addresses, message ids, references, folders. Each is checked once, here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{AgentName, Moment, names::BadName};

/// Domain of the addresses that this program gives.
pub const MANAGED_DOMAIN: &str = "agents.localhost";

/// Local parts that begin so belong to the system (contract section 7.2).
const RESERVED: &str = "HOUMAO-";

macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, BadName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

/// A mail address (contract section 7.2). Safe as the name of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

text!(Address);

impl Address {
    /// The operator's mailbox, which every mailbox root has.
    pub const OPERATOR: &str = "HOUMAO-operator@houmao.localhost";

    /// The address that an agent gets when nobody names another.
    ///
    /// # Errors
    /// [`BadName`] for a name that gives no local part, as one that begins with `_` would.
    pub fn of_agent(name: &AgentName) -> Result<Self, BadName> {
        format!("{name}@{MANAGED_DOMAIN}").parse()
    }

    /// The operator's.
    pub fn operator() -> Self {
        Self(Self::OPERATOR.to_owned())
    }

    /// Does it belong to the system?
    pub fn is_reserved(&self) -> bool {
        self.0.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED))
    }
}

impl FromStr for Address {
    type Err = BadName;

    /// Local part: a letter or digit, then those and `. _ + -`; domain: labels of letters, digits and `-`. At most 64
    /// and 190 bytes, so that the whole is a file name.
    fn from_str(text: &str) -> Result<Self, BadName> {
        let word = |text: &str, more: &str, longest: usize| {
            (1..=longest).contains(&text.len())
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        let fits = text.split_once('@').is_some_and(|(local, domain)| {
            word(local, "._+-", 64)
                && (1..=190).contains(&domain.len())
                && domain.split('.').all(|label| word(label, "-", 63) && !label.ends_with('-'))
        });
        if fits {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
        Err(BadName {
            message: format!("`{shown}` is not a mail address"),
            hint: format!("use NAME@HOST, for example `alpha@{MANAGED_DOMAIN}`"),
        })
    }
}

/// `msg-<YYYYMMDD>T<HHMMSS>Z-<32 hex>` (contract section 7.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MessageId(String);

text!(MessageId);

impl MessageId {
    /// A new id; `entropy` is random, or the digest of what must not be sent twice.
    pub fn new(now: Moment, entropy: u128) -> Self {
        let at = now.compact().replacen('-', "T", 1);
        Self(format!("msg-{at}-{entropy:032x}"))
    }
}

impl FromStr for MessageId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let digits = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_digit());
        let fits = || {
            let rest = text.strip_prefix("msg-")?;
            let (at, serial) = rest.split_once('-')?;
            let (day, time) = at.strip_suffix('Z')?.split_once('T')?;
            let hex = serial.len() == 32 && serial.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            (digits(day, 8) && digits(time, 6) && hex).then_some(())
        };
        match fits() {
            Some(()) => Ok(Self(text.to_owned())),
            None => Err(BadName {
                message: format!("`{}` is not a message id", text.chars().take(80).collect::<String>().escape_debug()),
                hint: "take the reference of a message from `agents mail list`".to_owned(),
            }),
        }
    }
}

/// A folder of a mailbox: `inbox`, `sent`, `archive`, `drafts`, or any plain name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BoxName(String);

text!(BoxName);

impl BoxName {
    /// What arrives.
    pub const INBOX: &str = "inbox";
    /// What was sent from here.
    pub const SENT: &str = "sent";
    /// What was put away.
    pub const ARCHIVE: &str = "archive";
    /// Unused by this program; the contract's fourth.
    pub const DRAFTS: &str = "drafts";

    /// The inbox.
    pub fn inbox() -> Self {
        Self(Self::INBOX.to_owned())
    }

    /// The archive.
    pub fn archive() -> Self {
        Self(Self::ARCHIVE.to_owned())
    }
}

impl FromStr for BoxName {
    type Err = BadName;

    /// Letters, digits, space and `. _ -`, at most 64, not beginning with `.`: nothing that leads out of the mailbox.
    fn from_str(text: &str) -> Result<Self, BadName> {
        let fits = (1..=64).contains(&text.len())
            && text.trim() == text
            && !text.starts_with('.')
            && text.chars().all(|c| c.is_alphanumeric() || " ._-".contains(c))
            && !["mailbox.sqlite", "mailbox.sqlite-wal", "mailbox.sqlite-shm"].contains(&text);
        if fits {
            return Ok(Self(text.to_owned()));
        }
        let shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
        Err(BadName {
            message: format!("`{shown}` is not the name of a mail folder"),
            hint: "use `inbox`, `sent`, `archive`, `drafts`, or a plain name of your own without `/`".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_safe_as_folder_names() {
        for fine in ["alpha@agents.localhost", "a.b_c+d-e@x", "A1@host-1.example", Address::OPERATOR] {
            assert_eq!(fine.parse::<Address>().unwrap().as_str(), fine);
        }
        let long = format!("{}@x", "a".repeat(65));
        for wrong in ["", "a", "@x", "a@", "../a@x", "a/b@x", ".a@x", "a@x/..", "a@-x", "a@x.", "a@b@c", "a b@x", &long]
        {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
        assert!(Address::operator().is_reserved() && !"alpha@x".parse::<Address>().unwrap().is_reserved());
        assert!("houmao-x@y".parse::<Address>().unwrap().is_reserved());
    }

    #[test]
    fn ids_have_the_contracts_form() {
        let now = Moment::parse("2026-11-21T11:58:26+00:00").unwrap();
        let id = MessageId::new(now, 0xabc);
        assert_eq!(id.as_str(), "msg-20261121T115826Z-00000000000000000000000000000abc");
        assert_eq!(id.as_str().parse(), Ok(id));
        for wrong in ["", "msg-", "../x", "msg-20261121T115826Z-xyz", "msg-20261121T115826Z-ABC"] {
            assert!(wrong.parse::<MessageId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn folders_have_plain_names() {
        for fine in ["inbox", "to do", "später", "2026.11"] {
            assert!(fine.parse::<BoxName>().is_ok(), "{fine}");
        }
        for wrong in ["", ".", "..", "a/b", ".hidden", " x", "x\n", "mailbox.sqlite"] {
            assert!(wrong.parse::<BoxName>().is_err(), "{wrong}");
        }
    }
}
