//! Updates of the sums.

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, Update};

use super::Ledger;
use super::write::text;
use crate::metering::call::Call;
use crate::metering::month::Month;
use crate::metering::tally::Tally;
use crate::metering::usage::Service;

/// Prefix of the sort keys of a month's totals.
pub(in crate::metering) const TOTAL: &str = "TOTAL#";
/// Prefix of the sort keys of a month's lines by day.
pub(in crate::metering) const DAY: &str = "DAY#";

/// Returns the partition key of an account's month.
pub(in crate::metering) fn month_key(account: &str, month: Month) -> String {
    format!("MONTH#{account}#{month}")
}

impl Ledger {
    /// Returns the update that adds `change` to the total of the call's month.
    pub(super) fn add_to_month(&self, call: &Call, change: &Tally, shard: u8) -> Result<Update, BuildError> {
        let (month, _) = Month::from_timestamp(call.started_at());
        self.add(month_key(&call.account, month), format!("{TOTAL}{shard}"), &[], change)
    }

    /// Returns the update that adds `change` to the line of the call's day, integration and model for `service`. `None`
    /// is the line of records without parts.
    pub(super) fn add_to_day(
        &self,
        call: &Call,
        service: Option<&Service>,
        change: &Tally,
        shard: u8,
    ) -> Result<Update, BuildError> {
        let (month, day) = Month::from_timestamp(call.started_at());
        let Call { account, integration, model, kind, provider, .. } = call;
        let number = |number: String| AttributeValue::N(number);
        let mut told = vec![
            ("day", number(day.to_string())),
            ("integration", text(integration)),
            ("kind", text(&kind.to_string())),
            ("model", text(model)),
        ];
        // The way of serving is part of the key, and also readable as attributes.
        let mut sort = format!("{DAY}{day:02}#{integration}#{model}#");
        if let Some(Service { model: served, tier, speed, geo, prompt_above }) = service {
            let tier = tier.name();
            sort += &format!("{provider}#{served}#{tier}#{speed}#{geo}#{prompt_above}#");
            told.extend([
                ("provider", text(provider)),
                ("served", text(served)),
                ("tier", text(tier)),
                ("speed", text(speed)),
                ("geo", text(geo)),
                ("prompt_above", number(prompt_above.to_string())),
            ]);
        }
        self.add(month_key(account, month), format!("{sort}{shard}"), &told, change)
    }

    /// Returns the update that adds `change` to one item of the sums and sets its attributes to `told`.
    fn add(
        &self,
        partition: String,
        sort: String,
        told: &[(&str, AttributeValue)],
        change: &Tally,
    ) -> Result<Update, BuildError> {
        let key = [("pk".to_owned(), AttributeValue::S(partition)), ("sk".to_owned(), AttributeValue::S(sort))];
        let mut update = Update::builder().table_name(&self.table).set_key(Some(key.into()));
        // Set the attributes that describe the item.
        let mut set = Vec::new();
        for (name, value) in told {
            set.push(format!("#{name} = :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), *name)
                .expression_attribute_values(format!(":{name}"), value.clone());
        }
        // Add the figures.
        let mut add = Vec::new();
        for (name, value) in Tally::NAMES.into_iter().zip(change.values()) {
            add.push(format!("#{name} :{name}"));
            update = update
                .expression_attribute_names(format!("#{name}"), name)
                .expression_attribute_values(format!(":{name}"), AttributeValue::N(value.to_string()));
        }
        let set = if set.is_empty() { String::new() } else { format!("SET {} ", set.join(", ")) };
        update.update_expression(format!("{set}ADD {}", add.join(", "))).build()
    }
}
