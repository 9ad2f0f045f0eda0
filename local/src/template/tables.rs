//! `AWS::DynamoDB::Table`, converted to the body of a CreateTable call and the attribute by which items expire.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Mistake, Resource,
    node::{Node, NodeKind},
    scope::Scope,
};

/// One table of the template.
#[derive(Clone, Debug)]
pub struct Table {
    /// Line of the declaration in the template.
    pub line: usize,
    /// `TableName`, or else the logical id.
    pub name: String,
    /// CreateTable request, as in the DynamoDB API reference.
    pub create: Value,
    /// Attribute of `TimeToLiveSpecification`, if it is enabled.
    pub expires_by: Option<String>,
}

/// Properties that are identical in CreateTable and CloudFormation.
const SHARED: [&str; 4] = ["AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "LocalSecondaryIndexes"];

pub(super) fn read(tables: &[Resource<'_>], scope: &Scope<'_>) -> Result<BTreeMap<String, Table>, Mistake> {
    tables.iter().map(|it| Ok((it.id.clone(), table(&it.id, it.properties, scope)?))).collect()
}

fn table(id: &str, node: &Node, scope: &Scope<'_>) -> Result<Table, Mistake> {
    let name = node.get("TableName").map(|name| scope.optional_text(name)).transpose()?.flatten();
    let name = name.unwrap_or_else(|| id.to_owned());
    let mut create = Map::from_iter([
        ("TableName".to_owned(), Value::from(name.clone())),
        ("BillingMode".to_owned(), Value::from("PAY_PER_REQUEST")),
    ]);
    for property in SHARED {
        if let Some(value) = node.get(property).map(|node| json(node, scope)).transpose()?.flatten() {
            create.insert(property.to_owned(), value);
        }
    }
    // Expiry is part of another call, UpdateTimeToLive.
    let expiry = node.get("TimeToLiveSpecification");
    let enabled = expiry.and_then(|expiry| expiry.get("Enabled")).map(|node| scope.boolean(node)).transpose()?;
    let attribute = expiry.and_then(|expiry| expiry.get("AttributeName")).map(|node| scope.text(node)).transpose()?;
    Ok(Table {
        line: node.line,
        name,
        create: Value::Object(create),
        expires_by: attribute.filter(|_| enabled == Some(true)),
    })
}

fn json(node: &Node, scope: &Scope<'_>) -> Result<Option<Value>, Mistake> {
    let Some(node) = scope.resolve(node)? else { return Ok(None) };
    Ok(Some(match &node.kind {
        NodeKind::Null => Value::Null,
        NodeKind::Scalar(text) => Value::from(text.clone()),
        NodeKind::List(items) => {
            let items = items.iter().map(|item| json(item, scope)).collect::<Result<Vec<_>, _>>()?;
            Value::Array(items.into_iter().flatten().collect())
        }
        NodeKind::Map(entries) => {
            let mut object = Map::new();
            for entry in entries {
                // Billing is on demand, as for the whole table, so provisioned capacity is left out.
                if entry.key != "ProvisionedThroughput"
                    && let Some(value) = json(&entry.value, scope)?
                {
                    object.insert(entry.key.clone(), value);
                }
            }
            Value::Object(object)
        }
        NodeKind::Intrinsic(name, _) => return Err(Mistake::new(node.line, format!("{name} is not emulated here"))),
    }))
}
