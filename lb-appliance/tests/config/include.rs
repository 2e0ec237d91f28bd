//! `include`: what is found, in which order, and whose mistake is whose.

use std::path::{Path, PathBuf};

use lb_appliance::config::{
    Code, Config, Examination, FILES_MAX, Look, SourceFile, config_hash, examine, examine_file,
    examine_reader_beside, examine_sources, load_with_files,
};
use proptest::prelude::*;

const MAIN: &str =
    "version: 1\ninclude: [conf.d/*.yaml]\nforwarding: {encapsulation: {source: {ipv4: 10.0.0.9}}}\n";

fn pool(name: &str, address: &str) -> String {
    format!("pools: [{{name: {name}, encap: {{ipip: {{}}}}, backends: [{{name: b, address: {address}}}]}}]\n")
}

fn vip(name: &str, address: &str, pool: &str) -> String {
    format!("vips: [{{name: {name}, addresses: [{address}], protocol: tcp, pool: {pool}}}]\n")
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(main: &str, parts: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().expect("temporary folder"));
        folder.put("g.yaml", main);
        parts.iter().for_each(|(path, text)| folder.put(path, text));
        folder
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    fn main(&self) -> PathBuf {
        self.0.path().join("g.yaml")
    }

    fn examine(&self) -> Examination {
        examine_file(&self.main())
    }
}

fn codes(examination: &Examination) -> Vec<Code> {
    examination.diagnostics.list.iter().map(|finding| finding.code).collect()
}

#[test]
fn parts_are_merged_by_name_and_may_use_pools_of_each_other() {
    let folder = Folder::new(
        &format!("{MAIN}{}", pool("main", "10.0.0.1")),
        &[
            ("conf.d/20-b.yaml", &(pool("b", "10.0.0.3") + &vip("b", "192.0.2.2", "main"))),
            (
                "conf.d/10-a.yaml",
                &format!("version: 1\n{}{}", pool("a", "10.0.0.2"), vip("a", "192.0.2.1", "b")),
            ),
            ("conf.d/.hidden.yaml", "nonsense"),
            ("conf.d/readme.txt", "nonsense"),
            ("conf.d/30-empty.yaml", "# nothing yet\n"),
        ],
    );
    let (config, files) = load_with_files(&folder.main()).unwrap_or_else(|found| panic!("{found}"));
    let names: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["main", "a", "b"]);
    assert_eq!(config.vips.iter().map(|vip| vip.pool).collect::<Vec<_>>(), [2, 0]);
    let paths: Vec<&Path> =
        files.iter().map(|file| file.path.strip_prefix(folder.0.path()).unwrap()).collect();
    assert_eq!(
        paths,
        ["g.yaml", "conf.d/10-a.yaml", "conf.d/20-b.yaml", "conf.d/30-empty.yaml"].map(Path::new)
    );
}

#[test]
fn the_texts_alone_give_the_same_configuration() {
    let parts = pool("a", "10.0.0.2") + &vip("a", "192.0.2.1", "a");
    let folder = Folder::new(MAIN, &[("conf.d/a.yaml", &parts)]);
    let (config, files) = load_with_files(&folder.main()).unwrap();
    std::fs::remove_file(folder.0.path().join("conf.d/a.yaml")).unwrap();
    assert_eq!(examine_sources(&files).config.as_ref(), Some(&config));
    assert_eq!(config_hash(&files), config_hash(&[SourceFile::new("x", MAIN), SourceFile::new("y", parts)]));
    assert_eq!(codes(&examine_sources(&[])), [Code::Empty]);
}

#[test]
fn a_name_used_in_two_files_names_both_places() {
    let folder = Folder::new(
        MAIN,
        &[
            ("conf.d/a.yaml", &(pool("web", "10.0.0.2") + &vip("v", "192.0.2.1", "web"))),
            ("conf.d/b.yaml", &format!("# two\n{}", pool("web", "10.0.0.3"))),
        ],
    );
    let found = folder.examine().diagnostics;
    let [finding] = found.list.as_slice() else { panic!("{found}") };
    assert_eq!((finding.code, finding.field.as_str()), (Code::DuplicateName, "pools[0].name"));
    let (a, b) = (folder.0.path().join("conf.d/a.yaml"), folder.0.path().join("conf.d/b.yaml"));
    let (first, second) = (format!("{}:1:16", a.display()), format!("{}:2:16", b.display()));
    assert!(found.to_string().starts_with(&second), "{found}");
    for text in [found.to_string(), found.render(Look::Plain)] {
        // Lines are wrapped, with a bar at the margin.
        let joined: String = text.split([' ', '\n', '|']).collect();
        assert!(joined.contains(&first) && joined.contains(&second), "{first} and {second} in\n{text}");
    }
    let report = serde_json::to_value(found.report(false)).unwrap();
    assert_eq!(report["diagnostics"][0]["file"], b.display().to_string());
    assert_eq!(report["diagnostics"][0]["other"]["file"], a.display().to_string());
    assert_eq!(report["diagnostics"][0]["other"]["line"], 1);
}

#[test]
fn mistakes_are_placed_in_their_file_and_all_files_are_looked_at() {
    let folder = Folder::new(
        MAIN,
        &[
            ("conf.d/a.yaml", "pools: [}\n"),
            ("conf.d/b.yaml", "\nnode: {name: x}\ninclude: [x]\nversion: 2\n"),
            ("conf.d/c.yaml", "pols: []\n"),
            ("conf.d/d.yaml", &vip("v", "192.0.2.1", "in-the-broken-file")),
        ],
    );
    let examination = folder.examine();
    let found = &examination.diagnostics;
    let places: Vec<String> = found
        .list
        .iter()
        .map(|finding| {
            let span = finding.span.unwrap();
            let name =
                Path::new(found.source_of(span).name()).file_name().unwrap().to_string_lossy().into_owned();
            format!("{} {name}:{}:{} {}", finding.code.id(), span.line, span.column, finding.field)
        })
        .collect();
    let expected = [
        "GW0004 a.yaml:1:9 ",
        "GW0014 b.yaml:2:1 node",
        "GW0014 b.yaml:3:1 include",
        "GW0116 b.yaml:4:10 version",
        "GW0101 c.yaml:1:1 pols",
    ];
    assert_eq!(places, expected, "a pool that may be in the broken file is not called missing");
    assert!(found.render(Look::Plain).contains("conf.d/c.yaml:1:1"));
}

#[test]
fn files_that_cannot_be_had() {
    let expect = |include: &str, expected: &[Code]| {
        let folder = Folder::new(&format!("version: 1\ninclude: {include}\npools: []\nvips: []\n"), &[]);
        std::fs::create_dir(folder.0.path().join("folder.yaml")).unwrap();
        std::fs::write(folder.0.path().join("latin.yaml"), b"pools: [] # \xe9\n").unwrap();
        let examination = folder.examine();
        assert_eq!(codes(&examination), expected, "{include}: {}", examination.diagnostics);
        assert!(examination.diagnostics.list.iter().all(|finding| finding.hint.is_some()));
    };
    expect("[nothing/*.yaml]", &[Code::NothingIncluded]);
    expect("[nothing.yaml]", &[Code::Unreadable]);
    expect("[folder.yaml]", &[Code::Unreadable]);
    expect("[latin.yaml]", &[Code::NotUtf8]);
    expect("[g.yaml]", &[Code::BadInclude]);
    expect("[\"*.yaml\"]", &[Code::Unreadable, Code::BadInclude, Code::NotUtf8]);
    expect("[]", &[]);
    expect("conf.d/*.yaml", &[Code::WrongType]);
    expect(
        "[1, \"\", \"**/x\", \"*/x\", \"x/\", \"[x\"]",
        &[
            Code::WrongType,
            Code::BadInclude,
            Code::BadInclude,
            Code::BadInclude,
            Code::BadInclude,
            Code::BadInclude,
        ],
    );
}

#[test]
fn a_file_named_twice_is_read_once() {
    let folder = Folder::new(
        "version: 1\ninclude: [a.yaml, ./a.yaml, \"[a]*.yaml\"]\nforwarding: {encapsulation: {source: {ipv4: 10.0.0.9}}}\n",
        &[("a.yaml", &(pool("a", "10.0.0.2") + &vip("a", "192.0.2.1", "a")))],
    );
    assert_eq!(folder.examine().diagnostics.list, []);
}

#[test]
fn too_many_files_are_refused() {
    let folder = Folder::new(MAIN, &[]);
    for number in 0..=FILES_MAX {
        folder.put(&format!("conf.d/{number:04}.yaml"), "# nothing\n");
    }
    assert_eq!(codes(&folder.examine()), [Code::TooManyFiles]);
}

#[test]
fn a_text_includes_only_where_it_is_told_to_stand() {
    let part = pool("a", "10.0.0.2") + &vip("a", "192.0.2.1", "a");
    let folder = Folder::new("", &[("conf.d/a.yaml", &part)]);
    assert_eq!(codes(&examine("api", MAIN)), [Code::NoFolder]);
    let there = examine_reader_beside("<stdin>", MAIN.as_bytes(), &folder.0.path().join("<stdin>"));
    assert_eq!(there.config.map(|config| config.pools.len()), Some(1));
}

#[test]
fn a_fifo_is_refused_and_not_waited_for() {
    let folder = Folder::new("version: 1\ninclude: [pipe]\npools: []\nvips: []\n", &[]);
    let made = std::process::Command::new("mkfifo").arg(folder.0.path().join("pipe")).status().unwrap();
    assert!(made.success());
    assert_eq!(codes(&folder.examine()), [Code::Unreadable]);
}

/// Pools with their backends and VIPs with the name of their pool, whatever the order of the files.
fn contents(config: &Config) -> (Vec<String>, Vec<String>) {
    let mut pools: Vec<String> = config.pools.iter().map(|pool| format!("{pool:?}")).collect();
    let vip = |vip: &lb_appliance::config::model::Vip| {
        format!("{} {:?} {:?} -> {}", vip.name, vip.addresses, vip.ports, config.pools[vip.pool].name)
    };
    let mut vips: Vec<String> = config.vips.iter().map(vip).collect();
    pools.sort();
    vips.sort();
    (pools, vips)
}

fn section(key: &str, items: &[String]) -> String {
    if items.is_empty() { String::new() } else { format!("{key}:\n{}", items.concat()) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a configuration is cut into files, it says the same.
    #[test]
    fn cutting_a_file_changes_nothing(homes in prop::collection::vec((0..4usize, 0..4usize), 1..12)) {
        let head = "version: 1\nforwarding: {encapsulation: {source: {ipv4: 10.0.0.9}}}\n";
        let pool = |n: usize| format!("  - {{name: p{n}, encap: {{ipip: {{}}}}, backends: [{{name: b, address: 10.1.0.{n}}}]}}\n");
        let vip = |n: usize| format!("  - {{name: v{n}, addresses: [192.0.2.{n}], protocol: tcp, ports: [{}], pool: p{n}}}\n", n + 1);
        let all: Vec<usize> = (0..homes.len()).map(|n| n + 1).collect();
        let pick = |file: usize| {
            let of = |home: fn(&(usize, usize)) -> usize, text: &dyn Fn(usize) -> String| {
                all.iter().filter(|n| home(&homes[**n - 1]) == file).map(|n| text(*n)).collect::<Vec<_>>()
            };
            section("pools", &of(|home| home.0, &pool)) + &section("vips", &of(|home| home.1, &vip))
        };
        let pools: Vec<String> = all.iter().map(|n| pool(*n)).collect();
        let vips: Vec<String> = all.iter().map(|n| vip(*n)).collect();
        let whole = examine("whole", &format!("{head}{}{}", section("pools", &pools), section("vips", &vips)));
        let whole = whole.config.expect("valid");
        let folder = Folder::new(&format!("{head}include: [conf.d/*.yaml]\n{}", pick(0)), &[]);
        (1..4).for_each(|file| folder.put(&format!("conf.d/{file}.yaml"), &pick(file)));
        let examination = folder.examine();
        prop_assert_eq!(&examination.diagnostics.list, &vec![]);
        prop_assert_eq!(contents(&examination.config.expect("valid")), contents(&whole));
    }
}
