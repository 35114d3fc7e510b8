//! Swap off now, and the units and generators that would bring it back; `fstab` is a resource of
//! its own.

use std::collections::BTreeSet;

use crate::plan::change::{Action, Change, Difference};
use crate::plan::library;
use crate::plan::operation::Operation;
use crate::plan::reason::Reason;
use crate::probe::{Observed, Reading};

/// What swaps at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap;

/// Services that are known to make swap at boot: compressed in memory, or in files of their own.
const SWAPPERS: [&str; 11] = [
    "armbian-zram-config.service",
    "dphys-swapfile.service",
    "swapspace.service",
    "systemd-swap.service",
    "zram-config.service",
    "zram-init.service",
    "zram-swap-config.service",
    "zram-swap.service",
    "zram.service",
    "zramd.service",
    "zramswap.service",
];

/// Units for swap that no line of fstab stands behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwapUnits;

/// systemd's zram-generator, which makes compressed swap in memory at boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zram;

impl Swap {
    pub fn read(&self, reading: &mut Reading) {
        reading.library(library::SWAP);
        reading.function("read_swap", []);
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        let active =
            observed.text("swaps").lines().skip(1).filter(|l| !l.trim().is_empty()).count();
        let own = observed.text("swaps-own");
        let own: Vec<String> =
            own.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if own.is_empty() {
            return if active > 0 {
                // In a container the list is the machine's; none of it is ours to switch off.
                Difference::NotApplicable(format!(
                    "{active} swap area(s) belong to the machine this container runs on"
                ))
            } else {
                Difference::Same
            };
        }
        let reason = Reason::SwapInUse(own.clone());
        Difference::change(Change::new(Action::Delete, reason, Operation::SwapOff { areas: own }))
    }
}

impl SwapUnits {
    pub fn differ(&self, observed: &Observed) -> Difference {
        let units = observed.units().into_iter().filter(|unit| {
            unit.get("Id").rsplit('.').next() == Some("swap")
                && !unit.get("FragmentPath").is_empty()
                && unit.get("LoadState") == "loaded"
                // fstab's own, gone with its line.
                && unit.get("SourcePath") != "/etc/fstab"
                && unit.get("SourcePath") != "/proc/swaps"
                // Nobody asks for it: it is only there.
                && !(unit.get("ActiveState") == "inactive" && unit.get("UnitFileState") == "disabled")
        });
        let swappers = observed.text("swappers");
        let (known, others): (BTreeSet<&str>, BTreeSet<&str>) =
            swappers.lines().partition(|name| SWAPPERS.contains(name));
        // One unit may be found by several ways.
        let units: BTreeSet<String> = units
            .map(|unit| unit.get("Id").to_owned())
            .chain(known.into_iter().map(str::to_owned))
            .collect();
        if units.is_empty() {
            return match others.into_iter().collect::<Vec<_>>()[..] {
                [] => Difference::Same,
                ref names => Difference::Noted(format!(
                    "{} is enabled: does it bring swap back at boot? zkprov does not know it",
                    names.join(", ")
                )),
            };
        }
        let units: Vec<String> = units.into_iter().collect();
        let reason = Reason::SwapUnits(units.clone());
        Difference::change(Change::new(Action::Delete, reason, Operation::MaskSwapUnits { units }))
    }
}

impl Zram {
    pub fn differ(&self, observed: &Observed) -> Difference {
        let zram = observed.text("zram");
        if zram.contains("configured") {
            let (reason, operation) = (Reason::ZramConfigured, Operation::DisableZram);
            let change = Change::new(Action::Delete, reason, operation);
            return Difference::change(change);
        }
        Difference::Same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SWAPS: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
        /swap\\040file                              file\t\t16380\t\t0\t\t-2\n";

    #[test]
    fn only_what_is_the_hosts_own_is_switched_off() {
        let observed = Observed::of([("swaps", SWAPS), ("swaps-own", "/swap file\n")]);
        let Difference::Changes(changes) = Swap.differ(&observed) else { panic!("swap is on") };
        assert_eq!(changes[0].operation, Operation::SwapOff { areas: vec!["/swap file".into()] });
        let observed = Observed::of([("swaps", SWAPS), ("swaps-own", "")]);
        assert!(matches!(Swap.differ(&observed), Difference::NotApplicable(_)));
    }

    #[test]
    fn units_from_fstab_are_left_to_fstab() {
        let units = "Id=zookeeper.service\nLoadState=not-found\n\n\
            Id=swapfile.swap\nLoadState=loaded\nFragmentPath=/run/systemd/generator/swapfile.swap\nSourcePath=/etc/fstab\n\n\
            Id=dev-sda5.swap\nLoadState=loaded\nFragmentPath=/run/systemd/generator.late/dev-sda5.swap\nSourcePath=\n\n\
            Id=old.swap\nLoadState=masked\nFragmentPath=/dev/null\nSourcePath=\n";
        let observed = Observed::of([("units", units)]);
        let Difference::Changes(changes) = SwapUnits.differ(&observed) else {
            panic!("a generated unit would bring swap back")
        };
        let units = vec!["dev-sda5.swap".into()];
        assert_eq!(changes[0].operation, Operation::MaskSwapUnits { units });
    }

    #[test]
    fn what_is_only_enabled_counts_and_what_nobody_asks_for_does_not() {
        let units = "Id=a.swap\nLoadState=loaded\nActiveState=inactive\nUnitFileState=enabled\nFragmentPath=/etc/systemd/system/a.swap\n\n\
            Id=b.swap\nLoadState=loaded\nActiveState=inactive\nUnitFileState=disabled\nFragmentPath=/etc/systemd/system/b.swap\n\n\
            Id=a.swap\nLoadState=loaded\nActiveState=inactive\nUnitFileState=enabled\nFragmentPath=/etc/systemd/system/a.swap\n";
        let swappers = "zramswap.service\nkswap-exporter.service\n";
        let Difference::Changes(changes) =
            SwapUnits.differ(&Observed::of([("units", units), ("swappers", swappers)]))
        else {
            panic!("two would bring swap back")
        };
        let both = vec!["a.swap".into(), "zramswap.service".into()];
        assert_eq!(changes[0].operation, Operation::MaskSwapUnits { units: both });
        let unknown = SwapUnits.differ(&Observed::of([("swappers", "kswap-exporter.service\n")]));
        assert!(matches!(unknown, Difference::Noted(note) if note.contains("kswap-exporter")));
    }
}
