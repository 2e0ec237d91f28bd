//! The command line that EAL gets, from `EalConfig`.
//!
//! The combinations are those that were tried: hugepages go with `--in-memory` (no files left behind), no
//! hugepages with `--no-shconf`, and the two do not mix (`--in-memory` with `--no-huge` is refused by EAL).

use std::ffi::CString;

use crate::device::DeviceSpec;
use crate::eal::{EalConfig, Memory};
use crate::error::EalError;

/// Builds the argument vector, program name first.
///
/// `cpus` are the CPUs of the one EAL lcore: all of them share it, so nothing is pinned to a single CPU.
pub(crate) fn build(config: &EalConfig, cpus: &[u32]) -> Result<Vec<CString>, EalError> {
    if cpus.is_empty() {
        return Err(refuse("main_cpus", "no CPU given"));
    }
    if config.file_prefix.is_empty() || config.file_prefix.contains(['/', '%']) {
        return Err(refuse("file_prefix", "must not be empty or contain `/` or `%`"));
    }
    let cpus: Vec<String> = cpus.iter().map(u32::to_string).collect();
    let mut arguments = vec![
        "guideway".to_owned(),
        format!("--lcores=0@({})", cpus.join(",")),
        format!("--file-prefix={}", config.file_prefix),
    ];
    match config.memory {
        Memory::Hugepages { mib } => {
            arguments.extend(["--in-memory".to_owned(), "-m".to_owned(), mib.to_string()])
        }
        Memory::NoHuge { mib } => arguments.extend([
            "--no-huge".to_owned(),
            "--no-shconf".to_owned(),
            "-m".to_owned(),
            mib.to_string(),
        ]),
    }
    if !config.telemetry {
        arguments.push("--no-telemetry".to_owned());
    }
    if !config.devices.iter().any(|device| matches!(device, DeviceSpec::Pci { .. })) {
        // Virtual devices alone: no PCI scan, and addresses need no translation.
        arguments.extend(["--no-pci".to_owned(), "--iova-mode=va".to_owned()]);
    }
    for (index, device) in config.devices.iter().enumerate() {
        if config.devices[..index].iter().any(|earlier| earlier.name() == device.name()) {
            return Err(refuse("devices", &format!("`{}` is named twice", device.name())));
        }
        match device {
            DeviceSpec::Pci { .. } => arguments.extend(["-a".to_owned(), device.to_string()]),
            DeviceSpec::Vdev { .. } => arguments.push(format!("--vdev={device}")),
        }
    }
    arguments.extend(config.extra_args.iter().cloned());
    arguments
        .into_iter()
        .map(|argument| CString::new(argument).map_err(|_| refuse("extra_args", "contains a NUL byte")))
        .collect()
}

fn refuse(field: &'static str, reason: &str) -> EalError {
    EalError::Config { field, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(config: &EalConfig, cpus: &[u32]) -> Result<String, String> {
        build(config, cpus)
            .map(|args| {
                args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
            })
            .map_err(|error| error.to_string())
    }

    fn device(text: &str) -> DeviceSpec {
        text.parse().unwrap()
    }

    #[test]
    fn virtual_devices_without_hugepages() {
        let config = EalConfig { devices: vec![device("net_tap0,iface=x0")], ..EalConfig::default() };
        assert_eq!(
            line(&config, &[0, 3]).unwrap(),
            "guideway --lcores=0@(0,3) --file-prefix=guideway --no-huge --no-shconf -m 256 --no-telemetry --no-pci \
             --iova-mode=va --vdev=net_tap0,iface=x0"
        );
    }

    #[test]
    fn a_nic_with_hugepages_and_extra_arguments() {
        let config = EalConfig {
            memory: Memory::Hugepages { mib: 64 },
            devices: vec![device("3b:00.0"), device("net_tap0")],
            telemetry: true,
            extra_args: vec!["--log-level=pmd:8".to_owned()],
            ..EalConfig::default()
        };
        assert_eq!(
            line(&config, &[1]).unwrap(),
            "guideway --lcores=0@(1) --file-prefix=guideway --in-memory -m 64 -a 0000:3b:00.0 --vdev=net_tap0 \
             --log-level=pmd:8"
        );
    }

    #[test]
    fn what_eal_would_misread_is_refused() {
        let twice = EalConfig {
            devices: vec![device("net_null0"), device("net_null0,size=64")],
            ..EalConfig::default()
        };
        assert_eq!(line(&twice, &[0]).unwrap_err(), "DPDK start: devices: `net_null0` is named twice");
        let prefix = EalConfig { file_prefix: "../x".to_owned(), ..EalConfig::default() };
        assert!(line(&prefix, &[0]).unwrap_err().contains("file_prefix"));
        let nul = EalConfig { extra_args: vec!["a\0b".to_owned()], ..EalConfig::default() };
        assert!(line(&nul, &[0]).unwrap_err().contains("extra_args"));
        assert!(line(&EalConfig::default(), &[]).unwrap_err().contains("main_cpus"));
    }
}
