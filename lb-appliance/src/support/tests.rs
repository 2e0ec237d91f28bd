//! A bundle can be unpacked, says what is missing, and holds no secret.

use super::*;
use crate::doctor::Host;
use std::collections::BTreeMap;

fn unpacked(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        assert_eq!(entry.header().mode().unwrap(), 0o600);
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(name, bytes);
    }
    files
}

fn bundled(mut sources: Vec<Box<dyn BundleSource>>) -> (Manifest, BTreeMap<String, Vec<u8>>) {
    let mut out = Vec::new();
    let manifest = write("b", &mut sources, &mut out, UNIX_EPOCH).unwrap();
    (manifest, unpacked(&out))
}

#[test]
fn a_source_that_fails_becomes_a_file_with_its_error() {
    let good = Part::new("live/status.json", || Ok(b"{}".to_vec()));
    let bad = Part::new("live/events.json", || Err("connection refused".to_owned()));
    let (manifest, files) = bundled(vec![Box::new(good), Box::new(bad)]);
    assert_eq!(files["b/live/status.json"], b"{}");
    assert_eq!(files["b/live/events.json.error"], b"connection refused\n");
    assert_eq!(manifest.files[1].error.as_deref(), Some("connection refused"));
    let written: serde_json::Value = serde_json::from_slice(&files["b/manifest.json"]).unwrap();
    assert_eq!(written["files"][1]["file"], "live/events.json.error");
    assert_eq!(written["version"], 1);
}

#[test]
fn a_file_without_end_is_cut() {
    let endless = Part::new("big", || Ok(vec![0; FILE_BYTES_MAX + 1]));
    let (manifest, files) = bundled(vec![Box::new(endless)]);
    assert!(manifest.files[0].is_cut);
    assert_eq!(files["b/big"].len(), FILE_BYTES_MAX);
}

#[test]
fn configurations_are_bundled_without_their_seed_even_when_broken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("g.yaml");
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    std::fs::write(folder.path().join("conf.d/a.yaml"), "pools: [{name: p, token: hidden1}]\n").unwrap();
    std::fs::write(
        &file,
        "version: 1\ninclude: [conf.d/*.yaml]\nforwarding: {maglev: {seed: \"0xdeadbeef\"}}\n",
    )
    .unwrap();
    let sources: Vec<Box<dyn BundleSource>> =
        vec![Box::new(ConfigTexts::new(&file)), Box::new(Verdict::new(&file))];
    let (_, files) = bundled(sources);
    let text = String::from_utf8(files["b/config/texts.yaml.txt"].clone()).unwrap();
    assert!(!text.contains("deadbeef") && !text.contains("hidden1"), "{text}");
    assert!(text.contains("conf.d/a.yaml") && text.contains("g.yaml"), "{text}");
    let verdict: serde_json::Value = serde_json::from_slice(&files["b/config/check.json"]).unwrap();
    assert_eq!(verdict["valid"], false);
    let missing = ConfigTexts::new(&folder.path().join("none.yaml"));
    let (manifest, _) = bundled(vec![Box::new(missing)]);
    assert!(manifest.files[0].error.as_ref().is_some_and(|error| error.contains("none.yaml")));
}

#[test]
fn of_the_kernels_command_line_only_what_is_of_use_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("proc")).unwrap();
    std::fs::write(folder.path().join("proc/cmdline"), "ro pass=hidden isolcpus=2-3 iommu=pt\n").unwrap();
    let sources = HostFacts::all(&Host::at(folder.path())).into_iter();
    let (_, files) = bundled(sources.map(|source| Box::new(source) as Box<dyn BundleSource>).collect());
    assert_eq!(files["b/host/proc/cmdline"], b"isolcpus=2-3 iommu=pt");
}

#[test]
fn this_very_host_can_be_bundled() {
    let sources =
        HostFacts::all(&Host::default()).into_iter().map(|source| Box::new(source) as Box<dyn BundleSource>);
    let (manifest, files) = bundled(sources.collect());
    assert!(String::from_utf8_lossy(&files["b/host/proc/version"]).contains("Linux"));
    assert_eq!(manifest.files.len() + 1, files.len());
}
