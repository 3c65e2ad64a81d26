"""What every render keeps: looked at in the objects, not in the templates."""

import pathlib

import yaml

SERVICES = {"gateway", "identity", "registry", "notification", "followup", "beds", "statistics"}


def calls(chart: pathlib.Path) -> dict[str, set[str]]:
    return {caller: set(callees) for caller, callees in yaml.safe_load((chart / "values.yaml").read_text())["calls"].items()}


def broken(objects: list[dict], calls: dict[str, set[str]]) -> list[str]:
    return [fault for rule in RULES for fault in rule(objects, calls)]


def of_kind(objects: list[dict], *kinds: str) -> list[dict]:
    return [one for one in objects if one["kind"] in kinds]


def pods(objects: list[dict]) -> list[tuple[str, dict, dict]]:
    """Name, labels and spec of every pod there will be."""
    found = []
    for one in of_kind(objects, "Deployment", "Job"):
        template = one["spec"]["template"]
        found.append((f"{one['kind']} {one['metadata']['name']}", template["metadata"]["labels"], template["spec"]))
    return found


def component(labels: dict) -> str:
    return labels.get("app.kubernetes.io/component", "")


def serving(objects: list[dict]) -> list[dict]:
    """The Deployments of services. Placeholders ask nobody and show nothing."""
    return [one for one in of_kind(objects, "Deployment") if component(one["metadata"]["labels"]) != "placeholder"]


def selects(selector: dict, labels: dict) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def labels_are_text(objects: list[dict], _: dict) -> list[str]:
    return [
        f"{one['kind']} {one['metadata']['name']}: the label {key} is no text"
        for one in objects
        for key, value in one["metadata"].get("labels", {}).items()
        if not isinstance(value, str)
    ]


def names_are_unique(objects: list[dict], _: dict) -> list[str]:
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    return [f"{name} is there twice" for name in sorted(set(names)) if names.count(name) > 1]


def pods_are_restricted(objects: list[dict], _: dict) -> list[str]:
    """Pod Security Standards, `restricted`, and a little more."""
    faults = []
    for name, labels, spec in pods(objects):
        own = spec.get("securityContext", {})
        good = own.get("runAsNonRoot") is True and own.get("runAsUser", 0) >= 10_000
        good = good and own.get("seccompProfile", {}).get("type") == "RuntimeDefault"
        # The operator alone talks to the API server.
        good = good and spec.get("automountServiceAccountToken") is (component(labels) == "operator") and spec.get("enableServiceLinks") is False
        good = good and not any(spec.get(key) for key in ("hostNetwork", "hostPID", "hostIPC"))
        good = good and all(set(volume) & {"secret", "configMap", "emptyDir"} for volume in spec.get("volumes", []))
        for container in spec["containers"]:
            context = container.get("securityContext", {})
            good = good and context.get("allowPrivilegeEscalation") is False and context.get("readOnlyRootFilesystem") is True
            good = good and context.get("capabilities", {}).get("drop") == ["ALL"]
            good = good and "memory" in container["resources"]["limits"] and "cpu" not in container["resources"]["limits"]
            variables = [variable["name"] for variable in container.get("env", [])]
            good = good and len(variables) == len(set(variables))
        if not good:
            faults.append(f"{name} may do more than it must")
    return faults


def selectors_find_pods(objects: list[dict], _: dict) -> list[str]:
    everybody = [labels for _, labels, _ in pods(objects)]
    faults = []
    for one in of_kind(objects, "Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        spec = one["spec"]
        selector = spec["selector"] if one["kind"] == "Service" else (spec.get("podSelector") or spec.get("selector"))["matchLabels"]
        if not any(selects(selector, labels) for labels in everybody):
            faults.append(f"{one['kind']} {one['metadata']['name']} selects no pod")
    deployments = {one["metadata"]["name"] for one in of_kind(objects, "Deployment")}
    faults += [
        f"HorizontalPodAutoscaler {one['metadata']['name']} scales nothing"
        for one in of_kind(objects, "HorizontalPodAutoscaler")
        if one["spec"]["scaleTargetRef"]["name"] not in deployments
    ]
    return faults


def ports_are_known(objects: list[dict], _: dict) -> list[str]:
    faults = []
    for one in of_kind(objects, "Service"):
        for _name, labels, spec in pods(objects):
            if selects(one["spec"]["selector"], labels):
                named = {port["name"] for container in spec["containers"] for port in container.get("ports", [])}
                faults += [
                    f"Service {one['metadata']['name']}: nobody listens on {port['targetPort']}"
                    for port in one["spec"]["ports"]
                    if port["targetPort"] not in named
                ]
    known = {53, 25, 587, 5432, 4222, 8443, 9443, 4317}
    for one in of_kind(objects, "NetworkPolicy"):
        for rule in one["spec"].get("ingress", []) + one["spec"].get("egress", []):
            faults += [
                f"NetworkPolicy {one['metadata']['name']}: the port {port['port']} is nobody's"
                for port in rule.get("ports", [])
                if port["port"] not in known
            ]
    return faults


def probes_ask_the_binary_of_the_image(objects: list[dict], _: dict) -> list[str]:
    """A liveness probe whose program is missing never restarts a pod."""
    faults = []
    for one in serving(objects):
        service = component(one["metadata"]["labels"])
        container = one["spec"]["template"]["spec"]["containers"][0]
        image = container["image"].split("@")[0].rsplit("/", 1)[-1].split(":")[0]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            program, word = container[probe]["exec"]["command"]
            if program != f"/{service}" or image != service or word not in ("healthcheck", "livecheck"):
                faults.append(f"{probe} of {service} asks {program} of the image {image}")
        if container["livenessProbe"]["exec"]["command"][1] != "livecheck":
            faults.append(f"{service}'s life depends on others")
    return faults


def scalers_own_replicas(objects: list[dict], _: dict) -> list[str]:
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in of_kind(objects, "HorizontalPodAutoscaler")}
    for plan in of_kind(objects, "SurgePlan"):
        by_plan = {service["deployment"] for service in plan["spec"]["services"]}
        if scaled & by_plan:
            return [f"{name} has a scaler and a plan" for name in sorted(scaled & by_plan)]
        scaled |= by_plan | {plan["spec"].get("placeholderDeployment")}
    return [
        f"Deployment {one['metadata']['name']} has replicas and a scaler"
        for one in of_kind(objects, "Deployment")
        if (one["metadata"]["name"] in scaled) == ("replicas" in one["spec"])
    ]


def certificates_name_their_service(objects: list[dict], _: dict) -> list[str]:
    faults, certificates = [], {}
    for one in of_kind(objects, "Certificate"):
        if "commonName" not in one["spec"]:
            # That of the edge names hosts, and nobody of the mesh: it must open no door inside.
            if "uris" in one["spec"] or "client auth" in one["spec"]["usages"] or any(host.endswith(".internal") for host in one["spec"]["dnsNames"]):
                faults.append("the certificate of the edge opens doors inside")
            continue
        name = one["spec"]["commonName"]
        certificates[one["spec"]["secretName"]] = name
        if f"{name}.hersys.internal" not in one["spec"]["dnsNames"] or one["spec"]["uris"] != [f"spiffe://hersys.local/svc/{name}"]:
            faults.append(f"the certificate of {name} names somebody else")
    for name, labels, spec in pods(objects):
        if component(labels) == "placeholder":
            continue
        used = [volume["secret"]["secretName"] for volume in spec["volumes"] if volume["name"] == "tls"]
        whose = component(labels).replace("test", "ops")
        if [certificates.get(secret) for secret in used] != [whose]:
            faults.append(f"{name} shows the certificate of {used}")
    return faults


def policies_are_the_calls(objects: list[dict], calls: dict) -> list[str]:
    """Every edge on both sides, and none besides."""
    policies = of_kind(objects, "NetworkPolicy")
    if not policies:
        return []
    edges = {(caller, callee) for caller, callees in calls.items() for callee in callees}
    inwards, outwards = set(), set()
    for one in policies:
        whose = component(one["spec"]["podSelector"]["matchLabels"])
        for direction, key, found in (("ingress", "from", inwards), ("egress", "to", outwards)):
            for rule in one["spec"].get(direction, []):
                if {port["port"] for port in rule.get("ports", [])} != {8443}:
                    continue
                for peer in rule.get(key, []):
                    other = component(peer.get("podSelector", {}).get("matchLabels", {}))
                    found.add((other, whose) if direction == "ingress" else (whose, other))
    faults = [f"{a} may not leave for {b}" for a, b in sorted(edges - outwards)]
    faults += [f"{b} does not let {a} in" for a, b in sorted(edges - inwards)]
    faults += [f"{a} may leave for {b}, whom it never calls" for a, b in sorted(outwards - edges) if a in SERVICES]
    faults += [f"{b} lets {a} in, who never calls" for a, b in sorted(inwards - edges) if a in SERVICES]
    nothing = [one for one in policies if one["spec"]["policyTypes"] == ["Ingress", "Egress"] and not one["spec"].get("ingress") and not one["spec"].get("egress")]
    faults += [] if nothing else ["nothing denies what is not allowed"]
    for one in serving(objects):
        service = component(one["metadata"]["labels"])
        variables = {variable["name"]: variable["value"] for variable in one["spec"]["template"]["spec"]["containers"][0]["env"]}
        told = {part.split("=")[0] for part in variables["HERSYS_UPSTREAMS"].split(",") if part}
        if told != calls[service]:
            faults.append(f"{service} is told of {sorted(told)}, and calls {sorted(calls[service])}")
    return faults


def who_migrates_is_not_who_serves(objects: list[dict], _: dict) -> list[str]:
    faults = []
    for name, labels, spec in pods(objects):
        secrets = {volume["secret"]["secretName"] for volume in spec.get("volumes", []) if "secret" in volume}
        migrates = component(labels).endswith("-migrate")
        if migrates != any(secret.endswith("-migrate-tls") for secret in secrets):
            faults.append(f"{name} holds the wrong certificate")
    return faults


def rights_are_few(objects: list[dict], _: dict) -> list[str]:
    """What the operator may do: no secrets, no pods, nothing by star, nothing outside of its namespace."""
    faults = [f"{one['kind']} reaches beyond the namespace" for one in of_kind(objects, "ClusterRole", "ClusterRoleBinding")]
    for one in of_kind(objects, "Role"):
        for rule in one["rules"]:
            words = rule["apiGroups"] + rule["resources"] + rule["verbs"]
            if "*" in words or set(rule["resources"]) & {"secrets", "pods", "pods/exec", "roles", "rolebindings"} or "delete" in rule["verbs"]:
                faults.append(f"the operator may {rule['verbs']} {rule['resources']}")
            if "deployments" in rule["resources"] and rule["verbs"] != ["get"]:
                faults.append("the operator may change a Deployment")
    return faults


def ports_are_known_to_the_operator(objects: list[dict], _: dict) -> list[str]:
    policies = of_kind(objects, "NetworkPolicy")
    ports = {port["port"] for one in policies for rule in one["spec"].get("ingress", []) + one["spec"]["egress"] for port in rule["ports"]}
    return [] if ports <= {53, 443, 6443, 9443} else [f"the operator reaches {sorted(ports)}"]


def operator_broken(objects: list[dict]) -> list[str]:
    rules = [labels_are_text, names_are_unique, pods_are_restricted, selectors_find_pods, ports_are_known_to_the_operator]
    rules += [probes_ask_the_binary_of_the_image, certificates_name_their_service, rights_are_few]
    return [fault for rule in rules for fault in rule([one for one in objects if one["kind"] != "CustomResourceDefinition"], {})]


def platform_broken(objects: list[dict]) -> list[str]:
    """The same of the platform below the chart."""
    faults = names_are_unique(objects, {})
    namespace = next(one for one in objects if one["kind"] == "Namespace")
    if namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
        faults.append("the namespace is not restricted")
    nothing = [one for one in of_kind(objects, "NetworkPolicy") if one["spec"]["podSelector"] == {} and set(one["spec"]) == {"podSelector", "policyTypes"}]
    if not nothing:
        faults.append("nothing denies what is not allowed")
    for one in of_kind(objects, "StatefulSet"):
        spec = one["spec"]["template"]["spec"]
        context = spec["containers"][0]["securityContext"]
        if not (spec["securityContext"]["runAsNonRoot"] and context["readOnlyRootFilesystem"] and context["capabilities"]["drop"] == ["ALL"]):
            faults.append(f"{one['metadata']['name']} may do more than it must")
    for one in of_kind(objects, "Cluster"):
        rules = one["spec"]["postgresql"]["pg_hba"]
        if rules[-1] != "host all all all reject" or not all(rule.endswith("cert map=mesh") for rule in rules[:-1]):
            faults.append("the database lets somebody in without a certificate")
        if one["spec"]["instances"] > 1 and one["spec"]["postgresql"].get("synchronous", {}).get("dataDurability") != "required":
            faults.append("a commit is acknowledged before a second server has it")
    return faults


RULES = [
    labels_are_text,
    names_are_unique,
    pods_are_restricted,
    selectors_find_pods,
    ports_are_known,
    probes_ask_the_binary_of_the_image,
    scalers_own_replicas,
    certificates_name_their_service,
    policies_are_the_calls,
    who_migrates_is_not_who_serves,
]


# Faults that the rules must see.


def first(objects: list[dict], kind: str) -> dict:
    return of_kind(objects, kind)[0]


def container(objects: list[dict]) -> dict:
    return first(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]


def a_label_that_is_a_number(objects: list[dict]) -> None:
    first(objects, "Deployment")["metadata"]["labels"]["x"] = 1


def an_object_twice(objects: list[dict]) -> None:
    objects.append(first(objects, "Deployment"))


def a_pod_as_root(objects: list[dict]) -> None:
    first(objects, "Deployment")["spec"]["template"]["spec"]["securityContext"]["runAsUser"] = 0


def a_root_file_system_to_write(objects: list[dict]) -> None:
    container(objects)["securityContext"]["readOnlyRootFilesystem"] = False


def a_selector_without_pods(objects: list[dict]) -> None:
    first(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] = "nobody"


def a_port_nobody_has(objects: list[dict]) -> None:
    first(objects, "Service")["spec"]["ports"][0]["targetPort"] = "http"


def a_probe_without_its_program(objects: list[dict]) -> None:
    container(objects)["livenessProbe"]["exec"]["command"][0] = "/bin/grpc_health_probe"


def replicas_beside_a_scaler(objects: list[dict]) -> None:
    first(objects, "Deployment")["spec"]["replicas"] = 1


def a_certificate_of_another(objects: list[dict]) -> None:
    first(objects, "Certificate")["spec"]["uris"] = ["spiffe://hersys.local/svc/identity"]


def a_call_nobody_makes(objects: list[dict]) -> None:
    policy = next(one for one in of_kind(objects, "NetworkPolicy") if one["metadata"]["name"].endswith("-beds"))
    policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] = "statistics"


def a_server_that_can_migrate(objects: list[dict]) -> None:
    volumes = first(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
    volumes.append({"name": "more", "secret": {"secretName": "hersys-beds-migrate-tls"}})


FAULTS = [
    a_label_that_is_a_number,
    an_object_twice,
    a_pod_as_root,
    a_root_file_system_to_write,
    a_selector_without_pods,
    a_port_nobody_has,
    a_probe_without_its_program,
    replicas_beside_a_scaler,
    a_certificate_of_another,
    a_call_nobody_makes,
    a_server_that_can_migrate,
]


def a_right_to_everything(objects: list[dict]) -> None:
    first(objects, "Role")["rules"][0]["verbs"] = ["*"]


def a_right_to_secrets(objects: list[dict]) -> None:
    first(objects, "Role")["rules"].append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})


def a_right_beyond_the_namespace(objects: list[dict]) -> None:
    first(objects, "RoleBinding")["kind"] = "ClusterRoleBinding"


OPERATOR_FAULTS = [
    a_label_that_is_a_number,
    an_object_twice,
    a_pod_as_root,
    a_root_file_system_to_write,
    a_probe_without_its_program,
    a_right_to_everything,
    a_right_to_secrets,
    a_right_beyond_the_namespace,
]
