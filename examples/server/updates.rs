//! Writes of a product: the primary, its cached record, and the tags of the pages that show it.

use cache_aside::{Error, UnitOfWork};
use serde_json::json;

use crate::{
    http::{Answer, Form},
    list::ProductList,
    primary::{Down, Refusal},
    routes::{Shop, failed, no_product, stats},
};

/// One field of a product, and its new value.
struct Change<'a> {
    id: &'a str,
    field: &'a str,
    value: &'a str,
}

impl Change<'_> {
    fn read(form: &Form) -> Result<Change<'_>, Answer> {
        Ok(Change {
            id: form.require_text("id")?,
            field: form.require_text("field")?,
            value: form.require("value")?,
        })
    }

    /// Changes the primary.
    fn commit(&self, shop: &Shop) -> Result<(), Answer> {
        let committed = shop.primary.update_field(self.id, self.field, self.value);
        committed.map_err(|refusal| self.refused(&refusal))
    }

    fn refused(&self, refusal: &Refusal) -> Answer {
        match refusal {
            Refusal::Down => Answer::error(502, Down.to_string()),
            Refusal::UnknownProduct => Answer::error(404, no_product(self.id)),
            Refusal::UnknownField => Answer::error(
                400,
                format!("a product has no field `{}` to change", self.field),
            ),
        }
    }

    /// The primary has changed, but the cache could not be invalidated: reports that instead of
    /// success.
    fn half_done(&self, shop: &Shop, error: &Error) -> Answer {
        let ttl = shop.in_use.stay();
        let error = format!(
            "the primary has the new value, but a cached record may be old for up to {ttl:?}: {error:#}"
        );
        let tags = ProductList::tags_of(self.field);
        Answer::json(&json!({ "error": error, "changed": true, "tags": tags })).with_status(503)
    }
}

/// Changes the primary, and invalidates the record and the tags in one unit of work.
pub(crate) fn update(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let change = Change::read(form)?;
    // As in a database, where a statement fails before the commit. A guard that is set ends the
    // cached record, even if the primary then refuses the change.
    let allowed = shop.primary.check_field(change.id, change.field);
    allowed.map_err(|refusal| change.refused(&refusal))?;
    let cache = shop.in_use.cache();
    let mut unit = UnitOfWork::new();
    let added = unit.add(&cache, change.id);
    let added = added.and_then(|()| shop.list.add_to(&mut unit, change.field));
    added.map_err(|error| failed(&error))?;
    unit.guard();
    change.commit(shop)?;
    let written = unit.commit();
    if let Some(deferred) = written.deferred().first() {
        return Err(change.half_done(shop, &deferred.error));
    }
    Ok(Answer::json(&json!({
        "id": change.id,
        "field": change.field,
        "value": change.value,
        "tags": ProductList::tags_of(change.field),
        "stats": stats(shop),
    })))
}

/// Changes the primary, then the cached record, if there is one, and invalidates the tags.
pub(crate) fn update_field(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let change = Change::read(form)?;
    change.commit(shop)?;
    let cache = shop.in_use.cache();
    let updated = cache.update_field(change.id, change.field, change.value);
    // Also if that failed: the primary has changed.
    let invalidated = shop.list.invalidate(change.field);
    let updated = updated
        .and_then(|updated| invalidated.map(|()| updated))
        .map_err(|error| change.half_done(shop, &error))?;
    Ok(Answer::json(&json!({
        "id": change.id,
        "field": change.field,
        "value": change.value,
        "updated": updated,
        "tags": ProductList::tags_of(change.field),
        "stats": stats(shop),
    })))
}

/// Changes the primary, and tells nobody: the mistake that an audit finds.
pub(crate) fn update_primary(shop: &Shop, form: &Form) -> Result<Answer, Answer> {
    let change = Change::read(form)?;
    change.commit(shop)?;
    let tags: [&str; 0] = [];
    Ok(Answer::json(&json!({
        "id": change.id,
        "field": change.field,
        "value": change.value,
        "tags": tags,
        "stats": stats(shop),
    })))
}
