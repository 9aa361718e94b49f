# Written by `cargo xtask docs` from the provider's schema: one variable for each argument of the resource.
# What is left out, or null, has the provider's default.

variable "alarms" {
  description = "CloudWatch alarms on the pipeline as a whole; they notify the topic."
  type = object({
    callbacks_rejected = optional(object({
      comparison_operator = optional(string)
      datapoints_to_alarm = optional(number)
      enabled             = optional(bool)
      evaluation_periods  = optional(number)
      period              = optional(number)
      threshold           = optional(number)
    }))
    callbacks_undeliverable = optional(object({
      comparison_operator = optional(string)
      datapoints_to_alarm = optional(number)
      enabled             = optional(bool)
      evaluation_periods  = optional(number)
      period              = optional(number)
      threshold           = optional(number)
    }))
    dead_letter_depth = optional(object({
      comparison_operator = optional(string)
      datapoints_to_alarm = optional(number)
      enabled             = optional(bool)
      evaluation_periods  = optional(number)
      period              = optional(number)
      threshold           = optional(number)
    }))
    executions_failed = optional(object({
      comparison_operator = optional(string)
      datapoints_to_alarm = optional(number)
      enabled             = optional(bool)
      evaluation_periods  = optional(number)
      period              = optional(number)
      threshold           = optional(number)
    }))
    message_age = optional(object({
      comparison_operator = optional(string)
      datapoints_to_alarm = optional(number)
      enabled             = optional(bool)
      evaluation_periods  = optional(number)
      period              = optional(number)
      threshold           = optional(number)
    }))
  })
  default = null
}

variable "bucket" {
  description = "The S3 bucket that work and answers go through."
  type = object({
    block_public_acls       = optional(bool)
    block_public_policy     = optional(bool)
    bucket                  = optional(string)
    bucket_key_enabled      = optional(bool)
    expiration_days         = optional(number)
    force_destroy           = optional(bool)
    ignore_public_acls      = optional(bool)
    inbound_prefix          = optional(string)
    outbound_prefix         = optional(string)
    outbound_queue_arn      = optional(string)
    restrict_public_buckets = optional(bool)
  })
  default = null
}

variable "dashboard" {
  description = "A CloudWatch dashboard with the funnel from executions started to callbacks answered. None is made unless this is given: `dashboard = {}`. AWS charges for dashboards beyond the first three of an account."
  type = object({
    dashboard_name = optional(string)
  })
  default = null
}

variable "dead_letter_queue" {
  description = "The SQS queue that keeps messages and events that could not be handled, for a person to look at."
  type = object({
    max_receive_count         = optional(number)
    message_retention_seconds = optional(number)
    name                      = optional(string)
  })
  default = null
}

variable "environment" {
  description = "The environment, which the names of all parts contain. Allowed: small letters, digits and hyphens, beginning and ending with a letter or a digit. Default: `\"devl\"`. A change replaces the whole pipeline."
  type        = string
  default     = null
}

variable "event_invoke_config" {
  description = "What Lambda does with events of the bucket that the integration function cannot handle. Those given up go to the dead-letter queue, with the reason."
  type = object({
    maximum_event_age_in_seconds = optional(number)
    maximum_retry_attempts       = optional(number)
  })
  default = null
}

variable "event_source" {
  description = "How Lambda takes messages from the queue for the integration function."
  type = object({
    batch_size                         = optional(number)
    enabled                            = optional(bool)
    maximum_batching_window_in_seconds = optional(number)
    maximum_concurrency                = optional(number)
  })
  default = null
}

variable "iam_path" {
  description = "The path of the IAM roles. Allowed: `/`, or a path of letters, digits and `_ + = , . @ - /` that begins and ends with `/`, of 512 characters at most and without `//`. Default: `\"/\"`. A change replaces the whole pipeline."
  type        = string
  default     = null
}

variable "integration" {
  description = "The Lambda function between queue, bucket and state machine."
  type = object({
    alarms = optional(object({
      concurrent_executions = optional(object({
        comparison_operator = optional(string)
        datapoints_to_alarm = optional(number)
        enabled             = optional(bool)
        evaluation_periods  = optional(number)
        period              = optional(number)
        threshold           = optional(number)
      }))
      duration = optional(object({
        comparison_operator = optional(string)
        datapoints_to_alarm = optional(number)
        enabled             = optional(bool)
        evaluation_periods  = optional(number)
        period              = optional(number)
        threshold           = optional(number)
      }))
      errors = optional(object({
        comparison_operator = optional(string)
        datapoints_to_alarm = optional(number)
        enabled             = optional(bool)
        evaluation_periods  = optional(number)
        period              = optional(number)
        threshold           = optional(number)
      }))
      invocations = optional(object({
        comparison_operator = optional(string)
        datapoints_to_alarm = optional(number)
        enabled             = optional(bool)
        evaluation_periods  = optional(number)
        period              = optional(number)
        threshold           = optional(number)
      }))
      throttles = optional(object({
        comparison_operator = optional(string)
        datapoints_to_alarm = optional(number)
        enabled             = optional(bool)
        evaluation_periods  = optional(number)
        period              = optional(number)
        threshold           = optional(number)
      }))
    }))
    architectures                  = optional(list(string))
    function_name                  = optional(string)
    memory_size                    = optional(number)
    reserved_concurrent_executions = optional(number)
    role = optional(object({
      name = optional(string)
    }))
    timeout      = optional(number)
    tracing_mode = optional(string)
  })
  default = null
}

variable "key" {
  description = "The customer-managed KMS key that encrypts the bucket, the queues, the topic, the log groups and the functions' variables. None is made when `kms_key_arn` is set."
  type = object({
    alias                   = optional(string)
    deletion_window_in_days = optional(number)
    description             = optional(string)
    enable_key_rotation     = optional(bool)
    rotation_period_in_days = optional(number)
  })
  default = null
}

variable "kms_key_arn" {
  description = "The ARN of a KMS key of yours in this region, to be used instead of a key of the pipeline's own. Its policy must let CloudWatch Logs and CloudWatch alarms use it. Giving or taking away a key of yours makes the whole pipeline anew; one of yours for another does not, but do that while no callback is open: what was encrypted with the former key cannot be read any more. Not the own key of another pipeline, with which it goes. A plan warns where KMS says that the key cannot be used, and refuses a replacement for it. Allowed: the ARN of a key of kms."
  type        = string
  default     = null
}

variable "log_retention_in_days" {
  description = "How many days the log groups keep events; 0 keeps them for ever. Allowed: 0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653. Default: `14`."
  type        = number
  default     = null
}

variable "name" {
  description = "The pipeline's name, with which the names of all parts begin. Unless `bucket.bucket` is set, `name` and `environment` together may have 29 characters less those of the region's name: 20 in us-east-1, 17 in eu-central-1. Allowed: small letters, digits and hyphens, beginning and ending with a letter or a digit. A change replaces the whole pipeline."
  type        = string
  nullable    = false
}

variable "permissions_boundary" {
  description = "The ARN of the IAM policy that bounds the IAM roles. Allowed: the ARN of a policy of iam."
  type        = string
  default     = null
}

variable "processing" {
  description = "The Lambda function that makes the payload and the execution id."
  type = object({
    alarms = optional(object({
      concurrent_executions = optional(object({
        comparison_operator = optional(string)
        datapoints_to_alarm = optional(number)
        enabled             = optional(bool)
        evaluation_periods  = optional(number)
        period              = optional(number)
        threshold           = optional(number)
      }))
      duration = optional(object({
        comparison_operator = optional(string)
        datapoints_to_alarm = optional(number)
        enabled             = optional(bool)
        evaluation_periods  = optional(number)
        period              = optional(number)
        threshold           = optional(number)
      }))
      errors = optional(object({
        comparison_operator = optional(string)
        datapoints_to_alarm = optional(number)
        enabled             = optional(bool)
        evaluation_periods  = optional(number)
        period              = optional(number)
        threshold           = optional(number)
      }))
      invocations = optional(object({
        comparison_operator = optional(string)
        datapoints_to_alarm = optional(number)
        enabled             = optional(bool)
        evaluation_periods  = optional(number)
        period              = optional(number)
        threshold           = optional(number)
      }))
      throttles = optional(object({
        comparison_operator = optional(string)
        datapoints_to_alarm = optional(number)
        enabled             = optional(bool)
        evaluation_periods  = optional(number)
        period              = optional(number)
        threshold           = optional(number)
      }))
    }))
    architectures                  = optional(list(string))
    filename                       = optional(string)
    function_name                  = optional(string)
    handler                        = optional(string)
    memory_size                    = optional(number)
    reserved_concurrent_executions = optional(number)
    role = optional(object({
      name = optional(string)
    }))
    runtime           = optional(string)
    s3_bucket         = optional(string)
    s3_key            = optional(string)
    s3_object_version = optional(string)
    timeout           = optional(number)
    tracing_mode      = optional(string)
    variables         = optional(map(string))
  })
  default = null
}

variable "queue" {
  description = "The SQS queue between the state machine and the integration function."
  type = object({
    delay_seconds                     = optional(number)
    kms_data_key_reuse_period_seconds = optional(number)
    max_message_size                  = optional(number)
    message_retention_seconds         = optional(number)
    name                              = optional(string)
    receive_wait_time_seconds         = optional(number)
    visibility_timeout_seconds        = optional(number)
  })
  default = null
}

variable "state_machine" {
  description = "The Step Functions state machine."
  type = object({
    callback_heartbeat_seconds = optional(number)
    callback_timeout_seconds   = optional(number)
    include_execution_data     = optional(bool)
    log_level                  = optional(string)
    name                       = optional(string)
    processing_retry = optional(object({
      backoff_rate     = optional(number)
      interval_seconds = optional(number)
      max_attempts     = optional(number)
    }))
    role = optional(object({
      name = optional(string)
    }))
    tracing_enabled = optional(bool)
  })
  default = null
}

variable "subscriptions" {
  description = "Subscriptions to the topic, each under a name of your choice."
  type = map(object({
    endpoint              = string
    filter_policy         = optional(string)
    filter_policy_scope   = optional(string)
    protocol              = string
    raw_message_delivery  = optional(bool)
    redrive_policy        = optional(string)
    subscription_role_arn = optional(string)
  }))
  default = null
}

variable "tags" {
  description = "Tags of every part that takes tags, over those of the provider's `default_tags`; at most 48 of both together. Allowed: letters, digits, spaces and `_ . : / = + - @`, in keys of up to 128 and values of up to 256 characters."
  type        = map(string)
  default     = null
}

variable "task_token" {
  description = "Where the task token of an exchange is kept: beside the work in the folder of work handed out (`outbound`), where the business application can read it, too, or in the folder `private/`, which `business_application_policy_json` leaves out (`private`). Whoever has a token can answer its callback. Change it while no callback is open: those that are would no longer be found. Allowed: `outbound`, `private`. Default: `\"outbound\"`."
  type        = string
  default     = null
}

variable "topic" {
  description = "The SNS topic for messages of success and failure and for alarms. The first two are JSON with `status` (`SUCCEEDED` or `FAILED`, also a message attribute for filter policies), `pipeline`, `environment`, `execution_id`, `execution_arn`, `name`, and `result`, or `error` and `cause`. Where a message would be more than SNS takes, it has `result_omitted` and, in `result_key`, the key of the answer, or a `cause` cut short and `cause_truncated`."
  type = object({
    display_name = optional(string)
    name         = optional(string)
  })
  default = null
}

variable "undeliverable_queue" {
  description = "The SQS queue for messages that the integration function could not handle: it fails the callbacks of these, and then they go to the dead-letter queue."
  type = object({
    name = optional(string)
  })
  default = null
}

variable "timeouts" {
  description = "How long operations may take."
  type = object({
    create = optional(string)
    delete = optional(string)
    read   = optional(string)
    update = optional(string)
  })
  default = null
}
