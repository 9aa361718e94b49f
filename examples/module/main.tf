# Two pipelines from one module call.

terraform {
  required_version = ">= 1.11"

  required_providers {
    bellflower = {
      source = "bellflower/bellflower"
    }
  }
}

provider "bellflower" {
  default_tags {
    tags = { Team = "fulfilment" }
  }
}

locals {
  pipelines = {
    orders  = { callback_timeout_seconds = 86400 }  # a day
    returns = { callback_timeout_seconds = 604800 } # a week
  }
}

module "pipeline" {
  source   = "../../terraform"
  for_each = local.pipelines

  name          = each.key
  environment   = "test"
  state_machine = each.value
  tags          = { Process = each.key }

  integration = {
    alarms = { invocations = { enabled = false } }
  }
}

output "state_machine_arns" {
  description = "Start executions of these state machines."
  value       = { for name, pipeline in module.pipeline : name => pipeline.state_machine_arn }
}

output "buckets" {
  description = "Where work appears and answers are awaited."
  value       = { for name, pipeline in module.pipeline : name => pipeline.bucket }
}
