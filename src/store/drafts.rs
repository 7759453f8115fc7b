//! A person's draft that a tool keeps aside, from before the key that asks for it until it is back.

use serde_json::Value;

use super::{error::StoreError, thread::Store};
use crate::model::{Moment, RequestId};

/// Key in `agents_meta`: the draft that is aside.
const DRAFT: &str = "draft_aside";

impl Store {
    /// Records that a draft is about to be put aside for a request; `draft` is an object.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is on record.
    pub async fn keep_draft(&self, request: &RequestId, draft: Value, at: Moment) -> Result<(), StoreError> {
        let request = request.clone();
        self.write(move |change| {
            let text = draft.to_string();
            change
                .sql
                .prepare_cached("INSERT OR REPLACE INTO agents_meta (key, value) VALUES (?1, ?2)")?
                .execute([DRAFT, &text])?;
            change.append(Some(request.as_str()), "draft_stashing", &text, &at.iso_millis())
        })
        .await
    }

    /// The draft that is aside, or was about to be when the last gateway ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kept_draft(&self) -> Result<Option<Value>, StoreError> {
        let text = self.read(|view| view.meta(DRAFT)).await?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Records what became of the draft, which is nobody's affair from here on.
    ///
    /// # Errors
    /// [`StoreError`]; then it still is.
    pub async fn let_draft_go(
        &self,
        request: &RequestId,
        kind: &'static str,
        data: Value,
        at: Moment,
    ) -> Result<(), StoreError> {
        let request = request.clone();
        self.write(move |change| {
            change.sql.execute("DELETE FROM agents_meta WHERE key = ?1", [DRAFT])?;
            change.append(Some(request.as_str()), kind, &data.to_string(), &at.iso_millis())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::store::scratch::{Scratch, id, now, row};

    #[tokio::test]
    async fn a_draft_is_on_record_until_it_is_let_go() {
        let scratch = Scratch::new();
        scratch.accept(row(1)).await.unwrap();
        assert_eq!(scratch.store.kept_draft().await.unwrap(), None);
        let draft = json!({"draft": "half a thought"});
        scratch.store.keep_draft(&id(1), draft.clone(), now()).await.unwrap();
        assert_eq!(scratch.store.kept_draft().await.unwrap(), Some(draft.clone()));
        scratch.store.let_draft_go(&id(1), "draft_restored", json!({}), now()).await.unwrap();
        assert_eq!(scratch.store.kept_draft().await.unwrap(), None);
        let (_, journal) = scratch.store.show(&id(1)).await.unwrap().unwrap();
        let told: Vec<_> = journal.iter().map(|entry| (entry.kind.as_str(), &entry.data)).collect();
        assert_eq!(told[1..], [("draft_stashing", &draft), ("draft_restored", &json!({}))]);
    }
}
