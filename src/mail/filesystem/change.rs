//! Other flags, another folder: for all the messages that are named, or for none.

use super::{
    root::hidden_name,
    spool::{MoveIntent, OURS, Spool, link_path},
};
use crate::{
    mail::MailError,
    model::MessageId,
    store::mail::{Change, RegistrationRow},
};

/// Changes all these messages, or none: the mailbox's own file first, which decides, then the index, then the links. The
/// locks are held.
pub(super) fn change(
    spool: &mut Spool,
    me: &RegistrationRow,
    ids: &[MessageId],
    wish: &Change,
) -> Result<(), MailError> {
    spool.recover(true)?;
    spool.agree(me, true)?;
    let texts: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let intent = match &wish.box_name {
        Some(folder) => Some(begin_move(spool, me, ids, folder)?),
        None => None,
    };
    let changed = spool.local(me).and_then(|local| Ok(local.apply(&texts, wish)?));
    let moved = |spool: &Spool| {
        let Some(name) = &intent else { return Ok(()) };
        texts.iter().try_for_each(|id| spool.tidy(me, id))?;
        Ok::<_, MailError>(spool.root.staging()?.remove(name)?)
    };
    match changed {
        Ok(Some((rows, version))) => {
            let base = spool.root.mailbox(me)?.path().to_owned();
            let link = |id: &str, folder: &str| link_path(&base, folder, id);
            let mirrored = spool.index.mirror(&me.registration_id, &rows, &version, link);
            // It is done: what could not follow is seen and made to follow by the next one.
            if let Err(error) = mirrored.map_err(MailError::from).and_then(|()| moved(spool)) {
                tracing::warn!(address = me.address, error = %error, "a change is done; index or links will follow");
            }
            Ok(())
        }
        Ok(None) => moved(spool).and(Err(MailError::UnknownMessage(texts.join(", ")))),
        Err(error) => {
            // Nothing moved, so this takes back the links that were begun. If not now, then the next one does.
            if let Err(left) = moved(spool) {
                tracing::warn!(address = me.address, error = %left, "what is left of a move that failed stays");
            }
            Err(error)
        }
    }
}

/// Writes down a move that begins, and takes the space for its links. Returns the intent's name.
fn begin_move(spool: &Spool, me: &RegistrationRow, ids: &[MessageId], folder: &str) -> Result<String, MailError> {
    let staging = spool.root.staging()?;
    let intent = MoveIntent {
        registration_id: me.registration_id.clone(),
        message_ids: ids.iter().map(ToString::to_string).collect(),
    };
    let target = spool.root.mailbox(me)?.make(folder)?;
    let name = format!("{OURS}{}.move", uuid::Uuid::new_v4().simple());
    staging.write_new(&name, &serde_json::to_vec(&intent).unwrap_or_default())?;
    let linked = ids.iter().try_for_each(|id| target.link_to(&hidden_name(id.as_str()), &spool.root.canonical(id)));
    if let Err(error) = linked {
        ids.iter().try_for_each(|id| target.remove(&hidden_name(id.as_str())))?;
        staging.remove(&name)?;
        return Err(error.into());
    }
    Ok(name)
}
