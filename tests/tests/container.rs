//! The container's files as they are written: what an image or a compose file of ours must never be, and must always have.
//! That they work is for `scripts/docker-test`, which takes longer than this.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use lb_tests::process::run;
use lb_tests::program::{guideway, repository};
use lb_tests::skip::{Skip, require_program, unless};

const LIMIT: Duration = Duration::from_secs(30);
const LABELS: [&str; 5] = ["title", "description", "version", "revision", "licenses"];
const COMPOSE: [&str; 3] = ["compose.yaml", "compose.tap.yaml", "compose.hugepages.yaml"];

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The instructions of a Dockerfile: word and rest, continued lines joined, comments gone.
fn instructions(path: &str) -> Vec<(String, String)> {
    let text: String = read(path)
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| line.to_owned() + "\n")
        .collect();
    let joined = text.replace("\\\n", " ");
    let instruction = |line: &str| {
        let (word, rest) = line.trim().split_once(' ')?;
        Some((word.to_owned(), rest.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    joined.lines().filter_map(instruction).collect()
}

/// The instructions of each stage, by its name.
fn stages(path: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut stages: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for (word, rest) in instructions(path) {
        if word == "FROM" {
            let name = rest.split_once(" AS ").map_or(rest.as_str(), |(_, name)| name).to_owned();
            stages.push((name, Vec::new()));
        }
        if let Some((_, stage)) = stages.last_mut() {
            stage.push((word, rest));
        }
    }
    stages
}

#[test]
fn no_base_image_floats_and_all_can_be_chosen() {
    for path in ["Dockerfile", "deploy/docker/lab.Dockerfile"] {
        let mut known: BTreeSet<String> = ["scratch".to_owned()].into();
        for (word, rest) in instructions(path) {
            match word.as_str() {
                "ARG" => {
                    if let Some((name, image)) =
                        rest.split_once('=').filter(|(name, _)| name.ends_with("_IMAGE"))
                    {
                        let tag = image.split_once(':').map(|(_, tag)| tag).unwrap_or_default();
                        assert!(
                            image == "scratch" || !tag.is_empty() && tag != "latest",
                            "{path}: {name} floats: {image}"
                        );
                        known.insert(format!("${{{name}}}"));
                    }
                }
                "FROM" => {
                    let (base, name) = rest.split_once(" AS ").unwrap_or((&rest, ""));
                    assert!(known.contains(base), "{path}: FROM {base} is no ARG and no stage");
                    known.insert(name.to_owned());
                }
                "RUN" if rest.contains("apt-get install") => {
                    assert!(rest.contains("--no-install-recommends"), "{path}: {rest}");
                    assert!(rest.contains("rm -rf /var/lib/apt/lists/*"), "{path}: {rest}");
                }
                "ADD" => panic!("{path}: ADD {rest}: COPY says what it does"),
                _ => {}
            }
        }
        assert!(!read(path).contains("latest"), "{path} names a tag that floats");
    }
}

#[test]
fn both_images_have_what_an_image_must_have() {
    let stages = stages("Dockerfile");
    assert_eq!(stages.last().expect("a stage").0, "ci", "the default target");
    for target in ["ci", "full"] {
        let (_, stage) =
            stages.iter().find(|(name, _)| name == target).unwrap_or_else(|| panic!("no target {target}"));
        let one = |word: &str| {
            let all: Vec<&str> =
                stage.iter().filter(|(one, _)| one == word).map(|(_, rest)| rest.as_str()).collect();
            assert_eq!(all.len(), 1, "{target}: {word}: {all:?}");
            all[0]
        };
        assert_eq!(one("FROM"), format!("scratch AS {target}"));
        for label in LABELS {
            assert!(
                one("LABEL").contains(&format!("org.opencontainers.image.{label}=\"")),
                "{target}: {label}"
            );
        }
        let (user, group) = one("USER").split_once(':').expect("user and group");
        assert!(
            [user, group].into_iter().all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)),
            "{target}: numbers, not root"
        );
        assert!(
            one("HEALTHCHECK").ends_with("CMD [\"/usr/bin/guideway\", \"healthcheck\"]"),
            "{target}: there is no shell"
        );
        assert_eq!(one("ENTRYPOINT"), "[\"/usr/bin/guideway\"]");
        assert_eq!(one("CMD"), "[\"run\", \"-c\", \"/etc/guideway/guideway.yaml\"]");
        assert_eq!(one("STOPSIGNAL"), "SIGTERM");
        assert!(stage.iter().all(|(word, _)| word != "RUN"), "{target}: nothing can run there");
    }
    let ignored = read(".dockerignore");
    assert!(
        ignored.lines().any(|line| line == "*") && ignored.lines().any(|line| line == "**/target"),
        "{ignored}"
    );
}

/// A list at a key of a service.
fn words(service: &serde_yaml::Value, key: &str) -> Vec<String> {
    let items = service.get(key).and_then(serde_yaml::Value::as_sequence).cloned().unwrap_or_default();
    items.iter().map(|item| item.as_str().expect("a word").to_owned()).collect()
}

#[test]
fn no_container_is_privileged_and_each_has_the_capabilities_of_its_mode_alone() {
    for path in COMPOSE {
        let mut file: serde_yaml::Value =
            serde_yaml::from_str(&read(&format!("deploy/docker/{path}"))).expect(path);
        file.apply_merge().expect("anchors");
        let services = file["services"].as_mapping().expect("services");
        for (name, service) in services {
            let name = name.as_str().expect("a name");
            for forbidden in ["privileged", "pid", "ipc", "userns_mode", "ports"] {
                assert!(service.get(forbidden).is_none(), "{path}: {name}: {forbidden}");
            }
            assert!(
                service.get("network_mode").is_none_or(|mode| mode.as_str() != Some("host")),
                "{path}: {name}"
            );
            if let Some(image) = service.get("image").and_then(serde_yaml::Value::as_str) {
                assert!(
                    image.contains(":-") && image.contains(":ci}"),
                    "{path}: {name}: {image} has a tag of its own"
                );
            }
        }
        let guideway = &file["services"]["guideway"];
        let (added, dropped) = (words(guideway, "cap_add"), words(guideway, "cap_drop"));
        match path {
            "compose.yaml" => {
                assert_eq!(
                    (added, dropped),
                    (vec!["NET_ADMIN".into(), "NET_RAW".into()], vec!["ALL".into()])
                );
                assert_eq!(guideway["read_only"].as_bool(), Some(true));
            }
            "compose.hugepages.yaml" => assert_eq!(added, ["SYS_NICE"]),
            _ => assert_eq!((added, words(guideway, "devices")), (vec![], vec!["/dev/net/tun".to_owned()])),
        }
        for volume in words(guideway, "volumes") {
            let (file, rest) = volume.split_once(':').expect("a mount");
            assert!(rest.ends_with(":ro"), "{path}: {volume} can be written");
            assert!(repository().join("deploy/docker").join(file).is_file(), "{path}: {file} is not there");
        }
    }
}

fn configurations_are_valid() -> Result<(), Skip> {
    for file in ["guideway.yaml", "guideway.tap.yaml", "guideway.hugepages.yaml"] {
        let mut command = guideway()?;
        command.args(["check", "--strict"]).arg(repository().join("deploy/docker").join(file));
        run(&mut command, LIMIT).expect_success(file);
    }
    Ok(())
}

#[test]
fn the_configurations_of_the_containers_are_valid() {
    unless(configurations_are_valid());
}

fn scripts_are_clean() -> Result<(), Skip> {
    require_program("shellcheck", "shellcheck")?;
    let scripts = ["scripts/docker-test", "deploy/docker/build", "deploy/docker/image-root"];
    let lab = ["backend", "client", "requests", "prometheus", "bridge"]
        .map(|name| format!("deploy/docker/lab/{name}"));
    let mut command = Command::new("shellcheck");
    run(command.arg("-x").args(scripts).args(lab).current_dir(repository()), LIMIT)
        .expect_success("shellcheck");
    Ok(())
}

#[test]
fn the_scripts_of_the_container_are_clean() {
    unless(scripts_are_clean());
}
