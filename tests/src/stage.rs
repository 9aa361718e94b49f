//! Where most tests begin: an emulator of the test's own, one pipeline's configuration, clients, and names.

use serde_json::Value;

use crate::proxy::{Door, Proxy};
use crate::{Aws, Error, MiniStack, Names, Options, Pipeline, Terraform, inventory, observe};

/// The address of the pipeline in [`Stage`]'s configuration.
pub const ADDRESS: &str = "bellflower_callback_pipeline.this";

/// The resource's type.
const RESOURCE: &str = "bellflower_callback_pipeline";

/// The region of every stage: not `us-east-1`, which several services treat as a special case.
const REGION: &str = "eu-west-1";

/// An emulator, and Terraform with a configuration of one pipeline called `orders`.
#[derive(Debug)]
pub struct Stage {
    /// The configuration and its state.
    pub terraform: Terraform,
    /// Clients of the account's owner.
    pub aws: Aws,
    /// The names of the parts, as long as the configuration sets none.
    pub names: Names,
    /// What the account held before.
    before: Vec<String>,
    /// The local AWS. Last, for it ends what the others may still use.
    pub emulator: MiniStack,
}

impl Stage {
    /// An emulator, and a pipeline whose block has these lines beside its name.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn new(arguments: &str) -> Result<Self, Error> {
        Self::with(arguments, Options::default()).await
    }

    /// As [`Stage::new`], with an emulator whose region is the stage's but whose other options are these.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn with(arguments: &str, options: Options) -> Result<Self, Error> {
        let emulator = MiniStack::start_with(Options {
            region: REGION.to_owned(),
            ..options
        })?;
        let environment = emulator.environment();
        Self::on(emulator, arguments, &environment).await
    }

    /// As [`Stage::with`], with Terraform run by an IAM user who has this policy and no other.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn by_user(arguments: &str, options: Options, policy: &Value) -> Result<Self, Error> {
        let emulator = MiniStack::start_with(Options {
            region: REGION.to_owned(),
            ..options
        })?;
        let key = emulator.user("platform-engineer", Some(policy)).await?;
        let environment = emulator.environment_as(key.access_key_id(), key.secret_access_key());
        Self::on(emulator, arguments, &environment).await
    }

    /// As [`Stage::new`], with a proxy between Terraform and the emulator. The stage's own clients do not go through it.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn behind_proxy(arguments: &str) -> Result<(Self, Proxy), Error> {
        let emulator = MiniStack::start_with(Options {
            region: REGION.to_owned(),
            ..Options::default()
        })?;
        let proxy = Proxy::start(&emulator)?;
        let stage = Self::on(emulator, arguments, &proxy.environment()).await?;
        Ok((stage, proxy))
    }

    /// As [`Stage::with`], with a proxy between the functions and the emulator. Terraform and the stage's own clients do not go
    /// through it.
    ///
    /// # Errors
    /// When something does not come up.
    pub async fn with_functions_behind_proxy(
        arguments: &str,
        options: Options,
    ) -> Result<(Self, Proxy), Error> {
        let door = Door::new()?;
        let emulator = MiniStack::start_with(Options {
            region: REGION.to_owned(),
            functions_endpoint: Some(door.endpoint().to_owned()),
            ..options
        })?;
        let proxy = door.open(&emulator)?;
        let environment = emulator.environment();
        Ok((Self::on(emulator, arguments, &environment).await?, proxy))
    }

    async fn on(
        emulator: MiniStack,
        arguments: &str,
        environment: &[(String, String)],
    ) -> Result<Self, Error> {
        let aws = emulator.aws();
        let terraform =
            Terraform::configuration(&Self::text("", "orders", arguments), environment)?;
        Ok(Self {
            before: Box::pin(inventory(&aws)).await?,
            names: Names::derived("orders", "devl", emulator.account(), REGION),
            terraform,
            aws,
            emulator,
        })
    }

    /// A configuration: the provider block's lines, the pipeline's name, and the other lines of its block.
    #[must_use]
    pub fn text(provider: &str, name: &str, arguments: &str) -> String {
        format!(
            r#"terraform {{
  required_providers {{
    bellflower = {{ source = "bellflower/bellflower" }}
  }}
}}
provider "bellflower" {{
{provider}
}}
resource "bellflower_callback_pipeline" "this" {{
  name = "{name}"
{arguments}
}}
"#
        )
    }

    /// Replaces the lines of the pipeline's block.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, arguments: &str) -> Result<(), Error> {
        self.terraform.rewrite(&Self::text("", "orders", arguments))
    }

    /// Another configuration, in a directory with a state of its own, for the same account.
    ///
    /// # Errors
    /// When its files cannot be written, or its init fails.
    pub fn beside(&self, text: &str) -> Result<Terraform, Error> {
        Terraform::configuration(text, &self.emulator.environment())
    }

    /// The region everything is in.
    #[must_use]
    pub fn region(&self) -> &'static str {
        REGION
    }

    /// The ARN of something in this account and region.
    #[must_use]
    pub fn arn(&self, service: &str, resource: &str) -> String {
        let account = self.emulator.account();
        match service {
            "iam" => format!("arn:aws:iam::{account}:{resource}"),
            "s3" => format!("arn:aws:s3:::{resource}"),
            _ => format!("arn:aws:{service}:{REGION}:{account}:{resource}"),
        }
    }

    /// What AWS says of the parts.
    pub async fn observe(&self) -> Value {
        observe(&self.aws, &self.names).await
    }

    /// What is in the account now and was not before.
    ///
    /// # Errors
    /// When something cannot be listed.
    pub async fn left(&self) -> Result<Vec<String>, Error> {
        let mut found = Box::pin(inventory(&self.aws)).await?;
        found.retain(|one| !self.before.contains(one));
        Ok(found)
    }

    /// The pipeline's attributes in Terraform's state.
    ///
    /// # Errors
    /// When there is none.
    pub fn state(&self) -> Result<Value, Error> {
        self.terraform.resource(RESOURCE)
    }

    /// The applied pipeline, to be worked with.
    ///
    /// # Errors
    /// When there is none.
    pub fn pipeline(&self) -> Result<Pipeline, Error> {
        Pipeline::new(self.aws.clone(), &self.state()?)
    }

    /// What Terraform plans for the pipeline, as `terraform show -json` has it: `change` with its `actions`, `before`,
    /// `after`, `after_unknown`, `replace_paths`.
    ///
    /// # Errors
    /// When the plan fails, or does not mention the pipeline.
    pub fn change(&self) -> Result<Value, Error> {
        self.terraform
            .expect(&["plan", "-no-color", "-out=the.plan"])?;
        let shown = self.terraform.expect(&["show", "-json", "the.plan"])?;
        let plan: Value = serde_json::from_str(&shown.stdout)
            .map_err(|error| Error::Missing(format!("the plan is no JSON ({error})")))?;
        let changes = plan["resource_changes"].as_array().into_iter().flatten();
        changes
            .into_iter()
            .find(|change| change["address"] == ADDRESS)
            .map(|change| change["change"].clone())
            .ok_or_else(|| Error::Missing(format!("the plan has no change for {ADDRESS}")))
    }
}
