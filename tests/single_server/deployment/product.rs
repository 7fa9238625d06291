//! The record types of the two versions. Each decodes the entries of the other, but its numbers
//! have another meaning.

use std::fmt::Debug;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A row of the primary. Both columns count its changes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) version: u64,
    pub(super) stock: u64,
}

impl Row {
    /// Whether no column is older than that of another row.
    pub(super) fn is_at_least(self, other: Row) -> bool {
        self.version >= other.version && self.stock >= other.stock
    }
}

/// The record type of the old program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Old {
    version: u64,
    name: String,
    price: u64,
    stock: u64,
    /// The new type does not have it.
    label: Option<String>,
}

/// The record type of the new program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct New {
    version: u64,
    name: String,
    price: u64,
    stock: u64,
    /// The old type does not have it.
    allergens: Option<String>,
}

/// Which version's record a lookup got.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// One of its own, made from this row.
    Own(Row),
    /// Each of its fields is from the other version.
    Other,
    Mixed,
}

pub(super) trait Product:
    Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    const SCHEMA: u32;

    /// How the program stores a row.
    fn of(row: Row) -> Self;

    /// The fields that are numbers: the version, the price and the stock.
    fn numbers(&self) -> [u64; 3];

    /// How the program stores a number. Its last digit tells the version.
    fn stored(number: u64) -> u64 {
        10 * number + u64::from(Self::SCHEMA)
    }

    fn kind(&self) -> Kind {
        let [version, price, stock] = self.numbers();
        let row = Row {
            version,
            stock: stock / 10,
        };
        let own = u64::from(Self::SCHEMA);
        if *self == Self::of(row) {
            Kind::Own(row)
        } else if price % 10 == stock % 10 && price % 10 != own {
            Kind::Other
        } else {
            Kind::Mixed
        }
    }
}

impl Product for Old {
    const SCHEMA: u32 = 1;

    fn of(Row { version, stock }: Row) -> Old {
        Old {
            version,
            name: format!("loaf {version}"),
            price: Old::stored(version),
            stock: Old::stored(stock),
            label: Some(format!("label {version}")),
        }
    }

    fn numbers(&self) -> [u64; 3] {
        [self.version, self.price, self.stock]
    }
}

impl Product for New {
    const SCHEMA: u32 = 2;

    fn of(Row { version, stock }: Row) -> New {
        New {
            version,
            name: format!("loaf {version}"),
            price: New::stored(version),
            stock: New::stored(stock),
            allergens: Some(format!("rye {version}")),
        }
    }

    fn numbers(&self) -> [u64; 3] {
        [self.version, self.price, self.stock]
    }
}
