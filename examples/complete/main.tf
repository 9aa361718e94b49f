# Every argument there is, set or in a comment. Most values are the defaults or those of the CloudFormation stack this project began as;
# that stack's alarm thresholds suit a demonstration, not production: an ordinary day sets them off.

terraform {
  required_version = ">= 1.11"

  required_providers {
    bellflower = {
      source = "bellflower/bellflower"
    }
  }
}

variable "alarm_email" {
  description = "Who gets the messages of success and failure and the alarms. AWS sends a confirmation mail first."
  type        = string
}

variable "name" {
  description = "The pipeline's name."
  type        = string
  default     = "bellflower"
}

variable "environment" {
  description = "The environment."
  type        = string
  default     = "devl"
}

variable "region" {
  description = "The AWS region; the environment's or the profile's where left out."
  type        = string
  default     = null
}

variable "bucket" {
  description = "The bucket's name, unique among all AWS accounts; made from name, account, environment and region where left out."
  type        = string
  default     = null
}

variable "permissions_boundary" {
  description = "The ARN of an IAM policy that bounds the roles, where your organisation asks for one."
  type        = string
  default     = null
}

variable "audit_queue_arn" {
  description = "The ARN of an SQS queue that is to receive the failures, too. Its policy must let the topic send."
  type        = string
  default     = null
}

variable "work_queue_arn" {
  description = "The ARN of an SQS queue that is to be told of work. Its policy must let S3 send."
  type        = string
  default     = null
}

provider "bellflower" {
  region      = var.region
  max_retries = 4

  default_tags {
    tags = {
      ProjectName = var.name
      Environment = var.environment
      ManagedBy   = "terraform"
    }
  }

  # Tags that others set, and that are to stay:
  # ignore_tags {
  #   keys         = ["CreatedBy"]
  #   key_prefixes = ["audit:"]
  # }

  # Credentials belong into the environment, a profile, SSO or a role. Where they must be here:
  # profile           = "orders-prod"
  # access_key        = var.access_key
  # secret_key        = var.secret_key
  # token             = var.session_token
  # custom_ca_bundle  = "/etc/ssl/company.pem"
  # s3_use_path_style = true
  #
  # assume_role {
  #   role_arn     = "arn:aws:iam::123456789012:role/deployer"
  #   session_name = "terraform"
  #   external_id  = "orders"
  #   duration     = "1h"
  #   policy       = file("session-policy.json")
  # }
  #
  # endpoints {
  #   all = "https://localhost:4566" # or one of: cloudwatch, cloudwatchlogs, iam, kms, lambda, resourcegroupstaggingapi, s3, sfn, sns, sqs, sts
  # }
}

locals {
  id = "${var.name}-${var.environment}"

  # The original stack's alarms, the same for both functions.
  once = {
    enabled             = true
    evaluation_periods  = 1
    datapoints_to_alarm = 1
    comparison_operator = "GreaterThanOrEqualToThreshold"
  }
  alarms = {
    invocations           = merge(local.once, { threshold = 5, period = 900 })
    errors                = merge(local.once, { threshold = 2, period = 900 })
    throttles             = merge(local.once, { threshold = 3, period = 600 })
    duration              = merge(local.once, { threshold = 500, period = 900 }) # milliseconds
    concurrent_executions = merge(local.once, { threshold = 3, period = 60 })
  }

  subscriptions = {
    operator = {
      protocol = "email"
      endpoint = var.alarm_email
    }
    audit = {
      protocol             = "sqs"
      endpoint             = var.audit_queue_arn
      raw_message_delivery = true
      filter_policy        = jsonencode({ status = ["FAILED"] })
      filter_policy_scope  = "MessageBody"
      # redrive_policy        = jsonencode({ deadLetterTargetArn = "arn:aws:sqs:eu-west-1:123456789012:undelivered" })
      # subscription_role_arn = "arn:aws:iam::123456789012:role/firehose" # for the protocol firehose
    }
  }
}

resource "bellflower_callback_pipeline" "this" {
  name                  = var.name
  environment           = var.environment
  task_token            = "private" # the original stack's, and the default, is "outbound": beside the data
  log_retention_in_days = 14
  iam_path              = "/bellflower/"
  permissions_boundary  = var.permissions_boundary

  tags = {
    Application = "orders"
  }

  # Instead of the block `key`, a key of your own:
  # kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
  key = {
    alias                   = "alias/${local.id}"
    description             = "Encrypts everything of the callback pipeline ${local.id}"
    deletion_window_in_days = 7
    enable_key_rotation     = true
    rotation_period_in_days = 365
  }

  bucket = {
    bucket                  = var.bucket
    force_destroy           = true # a demonstration: destroy takes the objects along and stops running executions
    block_public_acls       = true
    block_public_policy     = true
    ignore_public_acls      = true
    restrict_public_buckets = true
    bucket_key_enabled      = true
    inbound_prefix          = "inbound/"
    outbound_prefix         = "outbound/"
    outbound_queue_arn      = var.work_queue_arn
    expiration_days         = 90
  }

  queue = {
    name                              = "${local.id}-sqs-queue"
    delay_seconds                     = 0
    max_message_size                  = 262144
    message_retention_seconds         = 345600
    receive_wait_time_seconds         = 0
    visibility_timeout_seconds        = 300
    kms_data_key_reuse_period_seconds = 300
  }

  undeliverable_queue = { name = "${local.id}-sqs-undeliverable-queue" }

  dead_letter_queue = {
    name                      = "${local.id}-sqs-dead-letter-queue"
    max_receive_count         = 3
    message_retention_seconds = 1209600
  }

  topic = {
    name         = "${local.id}-sns-topic"
    display_name = "Result notification of ${local.id}"
  }

  subscriptions = { for label, one in local.subscriptions : label => one if one.endpoint != null }

  processing = {
    function_name = "${local.id}-processing-lambda"
    memory_size   = 256
    timeout       = 300
    architectures = ["x86_64"]
    # reserved_concurrent_executions = 1 # 100 of the account's must be left to others, so a new account has none to give
    tracing_mode = "Active"
    variables    = { STAGE = var.environment }
    role         = { name = "${local.id}-processing-lambda-role" }
    alarms       = local.alarms

    # Code of your own, in any runtime; from a file, or from a bucket in this region:
    # filename          = "processing.zip"
    # s3_bucket         = "my-code"
    # s3_key            = "processing.zip"
    # s3_object_version = "3sL4kqtJlcpXroDTDmJ"
    runtime = "provided.al2023"
    handler = "bootstrap"
  }

  integration = {
    function_name = "${local.id}-integration-lambda"
    memory_size   = 256
    timeout       = 300
    architectures = ["x86_64"]
    # reserved_concurrent_executions = 6 # the event source's maximum_concurrency, 2 for the undeliverable queue, and room for answers
    tracing_mode = "Active"
    role         = { name = "${local.id}-integration-lambda-role" }
    alarms       = local.alarms
  }

  event_source = {
    enabled                            = true
    batch_size                         = 10
    maximum_batching_window_in_seconds = 0
    maximum_concurrency                = 2
  }

  event_invoke_config = {
    maximum_event_age_in_seconds = 21600
    maximum_retry_attempts       = 2
  }

  state_machine = {
    name                       = "${local.id}-state-machine"
    callback_timeout_seconds   = 300
    callback_heartbeat_seconds = 240 # leave it out unless the application puts heartbeat.json
    log_level                  = "ALL"
    include_execution_data     = false
    tracing_enabled            = true
    role                       = { name = "${local.id}-state-machine-role" }

    processing_retry = {
      max_attempts     = 3
      interval_seconds = 5
      backoff_rate     = 2
    }
  }

  # What no function's alarm sees.
  alarms = {
    dead_letter_depth       = merge(local.once, { threshold = 1, period = 60 })
    message_age             = merge(local.once, { threshold = 900, period = 300 }) # seconds
    executions_failed       = merge(local.once, { threshold = 1, period = 300 })
    callbacks_rejected      = merge(local.once, { threshold = 1, period = 300 })
    callbacks_undeliverable = merge(local.once, { threshold = 1, period = 60 })
  }

  dashboard = { dashboard_name = "${local.id}-dashboard" }

  timeouts {
    create = "20m"
    read   = "5m"
    update = "20m"
    delete = "20m"
  }
}

output "pipeline" {
  description = "Everything known about the pipeline: names, ARNs, URLs, policies, the state machine's definition."
  value       = bellflower_callback_pipeline.this
}
