//! Where a pipeline is, and whether the credentials lead there.

use serde_json::Value as Json;
use tfplugin::{Diagnostic, Diagnostics};

use super::Tree;
use super::blueprint::{self, Blueprint};
use super::findings::Findings;
use super::schema::{self, Field, Origin, Shape};
use super::words::told;
use crate::config::Session;
use crate::documents::Place;
use crate::parts::Aws;

/// Where the credentials lead.
pub async fn whereabouts(session: &Session) -> Result<Place, Diagnostics> {
    session
        .place()
        .await
        .map_err(|failure| vec![told(&failure)])
}

/// The same, which must be where the state's pipeline is.
pub async fn home(session: &Session, state: Option<&Tree>) -> Result<Place, Diagnostics> {
    let place = whereabouts(session).await?;
    if let Some(state) = state {
        at_home(state, &place)?;
    }
    Ok(place)
}

/// Where a state says that its pipeline is.
pub fn stated(state: &Tree) -> Option<Place> {
    let place = arns(schema::fields(), state).into_iter().find_map(|arn| {
        let fields: Vec<&str> = arn.splitn(6, ':').collect();
        match fields[..] {
            ["arn", partition, _, region, account, _]
                if !region.is_empty() && !account.is_empty() =>
            {
                Some(Place {
                    partition: partition.to_owned(),
                    region: region.to_owned(),
                    account: account.to_owned(),
                })
            }
            _ => None,
        }
    })?;
    at_home(state, &place).is_ok().then_some(place)
}

/// Where the pipeline of a state is to be looked for: where it says, which is still to be proven, or else where the credentials lead.
pub async fn supposed(session: &Session, state: &Tree) -> Result<Place, Diagnostics> {
    match stated(state) {
        Some(place) if place.region == session.region() => Ok(place),
        _ => home(session, Some(state)).await,
    }
}

/// Looks at the state machine, whose answer tells as well as STS would that the credentials in use are of the account it is said to be in. Without one,
/// STS is asked.
pub async fn met(
    session: &Session,
    state: &Tree,
    blueprint: &Blueprint,
    place: &Place,
    aws: &Aws,
) -> Result<Findings, Diagnostics> {
    if !session.is_placed()
        && let Some(machine) = blueprint.node(&[blueprint::MACHINE.to_owned()])
    {
        // Once: what stands in the way is STS's to tell.
        let once = Aws {
            max_retries: Some(0),
            ..aws.clone()
        };
        if let Ok(Some(found)) = machine.part.read(&once).await {
            session.is_at(place.clone());
            return Ok(Findings::from([(machine.path.clone(), Some(found))]));
        }
    }
    home(session, Some(state)).await.map(|_| Findings::new())
}

/// The ARNs of a pipeline's parts, wherever a state has them.
pub fn arns<'a>(fields: &[Field], state: &'a Tree) -> Vec<&'a str> {
    let mut found = Vec::new();
    for field in fields {
        match (&field.shape, state.get(field.name)) {
            (Shape::Text, Some(Json::String(arn)))
                if field.name == "arn" && field.origin == Origin::Computed =>
            {
                found.push(arn.as_str());
            }
            (Shape::Object(inner), Some(Json::Object(part))) => found.extend(arns(inner, part)),
            (Shape::ObjectMap(inner), Some(Json::Object(parts))) => {
                let parts = parts.values().filter_map(Json::as_object);
                found.extend(parts.flat_map(|part| arns(inner, part)));
            }
            _ => {}
        }
    }
    found
}

/// A pipeline is looked for where it was made: elsewhere there would seem to be none.
pub fn at_home(state: &Tree, place: &Place) -> Result<(), Diagnostics> {
    // The user's key is in the pipeline's region, in whichever account.
    let key = state.get("kms_key_arn").and_then(Json::as_str);
    for arn in arns(schema::fields(), state).into_iter().chain(key) {
        let fields: Vec<&str> = arn.splitn(6, ':').collect();
        // A bucket's ARN names neither, a role's no region, and a subscription that waits for its receiver has none.
        let ["arn", _, _, region, account, _] = fields[..] else {
            continue;
        };
        let account = if key == Some(arn) {
            &place.account
        } else {
            account
        };
        let elsewhere = |field: &str, place: &str| !field.is_empty() && field != place;
        if !elsewhere(region, &place.region) && !elsewhere(account, &place.account) {
            continue;
        }
        let region = if region.is_empty() {
            String::new()
        } else {
            format!("{region} of ")
        };
        let detail = format!(
            "The pipeline is in {region}account {account}, and the provider works in {} of account {}. Nothing was looked at or changed. Give the provider the pipeline's region and credentials; to move the pipeline, destroy it there first.",
            place.region, place.account
        );
        return Err(vec![Diagnostic::error("Another region or account", detail)]);
    }
    Ok(())
}
