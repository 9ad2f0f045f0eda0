//! The designs to compare.

mod consecutive;
mod levee;
mod on_off;
mod windowed;

pub use self::consecutive::Consecutive;
pub use self::levee::Levee;
pub use self::on_off::OnOff;
pub use self::windowed::Windowed;

use crate::design::Design;
use crate::world::Settings;

/// Design, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// [`Consecutive`].
    Consecutive,
    /// [`OnOff`].
    OnOff,
    /// [`Windowed`].
    Windowed,
    /// [`Levee`].
    Levee,
}

impl Which {
    /// All designs.
    pub const ALL: [Self; 4] = [Self::Consecutive, Self::OnOff, Self::Windowed, Self::Levee];

    /// Returns the name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::OnOff => "on/off",
            Self::Windowed => "windowed share",
            Self::Levee => "levee",
        }
    }

    /// Creates the design for a fleet as in `settings`.
    pub fn build(self, settings: &Settings) -> Box<dyn Design> {
        match self {
            Self::Consecutive => Box::new(Consecutive::new(settings)),
            Self::OnOff => Box::new(OnOff::new(settings)),
            Self::Windowed => Box::new(Windowed::new(settings)),
            Self::Levee => Box::new(Levee::new(settings)),
        }
    }
}
