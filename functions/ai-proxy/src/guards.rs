//! Checks a call's demands against the guards of its account and its key. No I/O.

use std::collections::BTreeSet;

use levee::accounts::{Guards, Terms, UnknownFields};
use levee::http::anthropic::ErrorKind;

use crate::answer::ApiError;
use crate::demands::{Demand, Demands};
use crate::report::display_model;

/// Checks a call's demands against the guards of its account and key.
///
/// # Errors
/// 403 for a model, speed, tier, region or server tool that is not allowed. 400 for a ceiling of tokens that is too
/// high, and for parts of the body that are not understood. The message names the place in the body and the holder of
/// the guard.
pub fn check(demands: &Demands, terms: &Terms) -> Result<(), ApiError> {
    let guarded = || terms.guards().into_iter().filter(|(_, guards)| guards.limit_bodies());
    demands.iter().try_for_each(|(place, demand)| {
        guarded().try_for_each(|(whose, guards)| Check { place, whose, guards }.check(demand))
    })
}

/// The guards of one holder, and the place in the body that is checked against them.
struct Check<'a> {
    place: &'a str,
    whose: &'static str,
    guards: &'a Guards,
}

impl Check<'_> {
    fn check(&self, demand: &Demand) -> Result<(), ApiError> {
        let guards = self.guards;
        match demand {
            Demand::Model(model) => self.model(model),
            Demand::AnyModel if guards.models.is_empty() => Ok(()),
            Demand::AnyModel => {
                let message = format!(
                    "{} 'default' lets the AI provider choose the model. This {} may use: {}.",
                    self.place,
                    self.whose,
                    listed(&guards.models)
                );
                Err(ApiError::by_caller(ErrorKind::Permission, message))
            }
            Demand::MaxTokens(asked) => self.max_tokens(*asked),
            Demand::Speed(asked) => self.value(asked, &guards.speeds),
            Demand::ServiceTier(asked) => self.value(asked, &guards.service_tiers),
            Demand::InferenceGeo(asked) => self.value(asked, &guards.inference_geos),
            Demand::ServerTool(tool) => self.server_tool(tool),
            Demand::Unknown(..) | Demand::Odd if guards.unknown_fields == UnknownFields::Allow => Ok(()),
            Demand::Unknown(kind, name) => {
                let place = if self.place.is_empty() { String::new() } else { format!(" in {}", self.place) };
                Err(self.unknown(&format!("{kind} '{}'{place}", display_model(name))))
            }
            Demand::Odd => Err(self.unknown(&format!("value of {}", self.place))),
        }
    }

    fn model(&self, model: &str) -> Result<(), ApiError> {
        if self.guards.allow(model) {
            return Ok(());
        }
        let Self { place, whose, guards } = self;
        let which = match display_model(model) {
            told if told == model => format!("the model '{told}'"),
            _ => "this model".to_owned(),
        };
        // Name the place, except for the call's own model: another one may be hard to find in a long body.
        let place = if *place == "model" { String::new() } else { format!(" in {place}") };
        let message = format!("This {whose} may not use {which}{place}. It may use: {}.", listed(&guards.models));
        Err(ApiError::by_caller(ErrorKind::Permission, message))
    }

    fn max_tokens(&self, asked: Option<u64>) -> Result<(), ApiError> {
        let Self { place, whose, guards } = self;
        let Some(ceiling) = guards.max_tokens else { return Ok(()) };
        let asked = match asked {
            Some(asked) if asked <= ceiling => return Ok(()),
            Some(asked) => format!("is {asked}"),
            None => "must be a whole number from 1 on".to_owned(),
        };
        let message = format!("{place} {asked}; this {whose} may ask for at most {ceiling}.");
        Err(ApiError::by_caller(ErrorKind::InvalidRequest, message))
    }

    fn value(&self, asked: &str, allowed: &BTreeSet<String>) -> Result<(), ApiError> {
        if allowed.is_empty() || allowed.contains(asked) {
            return Ok(());
        }
        let Self { place, whose, .. } = self;
        let message = format!("{place} is '{}'; this {whose} may ask for: {}.", display_model(asked), listed(allowed));
        Err(ApiError::by_caller(ErrorKind::Permission, message))
    }

    fn server_tool(&self, tool: &str) -> Result<(), ApiError> {
        let Self { place, whose, guards } = self;
        let Some(allowed) = guards.server_tools.as_ref().filter(|allowed| !allowed.contains(tool)) else {
            return Ok(());
        };
        let allowed = if allowed.is_empty() { "none".to_owned() } else { listed(allowed) };
        let message = format!("This {whose} may not use the server tool {tool} in {place}. It may use: {allowed}.");
        Err(ApiError::by_caller(ErrorKind::Permission, message))
    }

    fn unknown(&self, which: &str) -> ApiError {
        let whose = self.whose;
        let message = format!(
            "The {which} is not understood here, so the limits of this {whose} cannot be checked. Leave it out, or ask the \
             platform to allow unknown fields for this {whose}."
        );
        ApiError::by_caller(ErrorKind::InvalidRequest, message)
    }
}

fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
