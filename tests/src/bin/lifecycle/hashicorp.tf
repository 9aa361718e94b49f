# The callback pattern by hand, as one writes it with hashicorp/aws: what the benchmark compares with.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "processing_zip" { type = string }
variable "integration_zip" { type = string }

provider "aws" {
  s3_use_path_style           = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = false
  skip_credentials_validation = true
  default_tags { tags = { pipeline = "orders" } }
}

data "aws_caller_identity" "this" {}
data "aws_region" "this" {}

locals {
  account = data.aws_caller_identity.this.account_id
  region  = data.aws_region.this.name
  suffix  = "devl-${local.region}"
  alarms = {
    invocations           = { metric = "Invocations", statistic = "Sum", period = 900, threshold = 50000, periods = 1 }
    errors                = { metric = "Errors", statistic = "Sum", period = 300, threshold = 10, periods = 3 }
    throttles             = { metric = "Throttles", statistic = "Sum", period = 300, threshold = 10, periods = 3 }
    duration              = { metric = "Duration", statistic = "Average", period = 300, threshold = 24000, periods = 3 }
    concurrent_executions = { metric = "ConcurrentExecutions", statistic = "Maximum", period = 60, threshold = 800, periods = 5 }
  }
  functions = {
    processing  = aws_lambda_function.processing.function_name
    integration = aws_lambda_function.integration.function_name
  }
}

resource "aws_kms_key" "this" {
  description         = "Encrypts the callback pipeline"
  enable_key_rotation = true
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "Account", Effect = "Allow", Principal = { AWS = "arn:aws:iam::${local.account}:root" }, Action = "kms:*", Resource = "*" },
      {
        Sid       = "Services", Effect = "Allow"
        Principal = { Service = ["logs.${local.region}.amazonaws.com", "s3.amazonaws.com", "sns.amazonaws.com", "sqs.amazonaws.com", "cloudwatch.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*", "kms:Encrypt", "kms:ReEncrypt*", "kms:DescribeKey"], Resource = "*"
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/orders-key-${local.suffix}"
  target_key_id = aws_kms_key.this.key_id
}

resource "aws_s3_bucket" "this" {
  bucket = "orders-integration-bucket-${local.account}-${local.suffix}"
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id
  rule { object_ownership = "BucketOwnerEnforced" }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  dynamic "rule" {
    for_each = ["inbound", "outbound"]
    content {
      id     = rule.value
      status = "Enabled"
      filter { prefix = "${rule.value}/" }
      expiration { days = 90 }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket     = aws_s3_bucket.this.id
  depends_on = [aws_s3_bucket_public_access_block.this]
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly", Effect = "Deny", Principal = "*", Action = "s3:*"
      Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_s3_object" "folder" {
  for_each     = toset(["inbound/", "outbound/"])
  bucket       = aws_s3_bucket.this.id
  key          = each.key
  content_type = "application/x-directory"
  depends_on   = [aws_s3_bucket_server_side_encryption_configuration.this]
}

resource "aws_sqs_queue" "dead_letter" {
  name                      = "orders-dead-letter-queue-${local.suffix}"
  message_retention_seconds = 1209600
  kms_master_key_id         = aws_kms_key.this.arn
}

resource "aws_sqs_queue" "this" {
  name                       = "orders-queue-${local.suffix}"
  visibility_timeout_seconds = 180
  kms_master_key_id          = aws_kms_key.this.arn
  redrive_policy             = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead_letter.arn, maxReceiveCount = 5 })
}

resource "aws_sqs_queue_policy" "this" {
  for_each  = { this = aws_sqs_queue.this, dead_letter = aws_sqs_queue.dead_letter }
  queue_url = each.value.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TlsOnly", Effect = "Deny", Principal = "*", Action = "sqs:*", Resource = each.value.arn
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "this" {
  queue_url            = aws_sqs_queue.dead_letter.url
  redrive_allow_policy = jsonencode({ redrivePermission = "byQueue", sourceQueueArns = [aws_sqs_queue.this.arn] })
}

resource "aws_sns_topic" "this" {
  name              = "orders-topic-${local.suffix}"
  kms_master_key_id = aws_kms_key.this.arn
}

resource "aws_sns_topic_policy" "this" {
  arn = aws_sns_topic.this.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "Alarms", Effect = "Allow", Principal = { Service = "cloudwatch.amazonaws.com" }, Action = "sns:Publish", Resource = aws_sns_topic.this.arn },
    ]
  })
}

resource "aws_cloudwatch_log_group" "function" {
  for_each          = toset(["processing", "integration"])
  name              = "/aws/lambda/orders-${each.key}-${local.suffix}"
  retention_in_days = 14
  kms_key_id        = aws_kms_key.this.arn
}

resource "aws_cloudwatch_log_group" "state_machine" {
  name              = "/aws/vendedlogs/states/orders-state-machine-${local.suffix}"
  retention_in_days = 14
  kms_key_id        = aws_kms_key.this.arn
}

resource "aws_iam_role" "function" {
  for_each = toset(["processing", "integration"])
  name     = "orders-${each.key}-role-${local.suffix}"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "lambda.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "processing" {
  name = "logs"
  role = aws_iam_role.function["processing"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = "${aws_cloudwatch_log_group.function["processing"].arn}:*" },
      { Effect = "Allow", Action = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], Resource = "*" },
    ]
  })
}

resource "aws_iam_role_policy" "integration" {
  name = "work"
  role = aws_iam_role.function["integration"].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = "${aws_cloudwatch_log_group.function["integration"].arn}:*" },
      { Effect = "Allow", Action = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"], Resource = aws_sqs_queue.this.arn },
      { Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject"], Resource = "${aws_s3_bucket.this.arn}/*" },
      { Effect = "Allow", Action = ["states:SendTaskSuccess", "states:SendTaskFailure"], Resource = "*" },
      { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = aws_kms_key.this.arn },
      { Effect = "Allow", Action = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], Resource = "*" },
    ]
  })
}

resource "aws_lambda_function" "processing" {
  function_name    = "orders-processing-${local.suffix}"
  role             = aws_iam_role.function["processing"].arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  filename         = var.processing_zip
  source_code_hash = filebase64sha256(var.processing_zip)
  timeout          = 30
  kms_key_arn      = aws_kms_key.this.arn
  tracing_config { mode = "Active" }
  depends_on = [aws_cloudwatch_log_group.function, aws_iam_role_policy.processing]
}

resource "aws_lambda_function" "integration" {
  function_name    = "orders-integration-${local.suffix}"
  role             = aws_iam_role.function["integration"].arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  filename         = var.integration_zip
  source_code_hash = filebase64sha256(var.integration_zip)
  timeout          = 30
  kms_key_arn      = aws_kms_key.this.arn
  environment { variables = { BELLFLOWER_BUCKET = aws_s3_bucket.this.id } }
  tracing_config { mode = "Active" }
  depends_on = [aws_cloudwatch_log_group.function, aws_iam_role_policy.integration]
}

resource "aws_lambda_permission" "bucket" {
  statement_id   = "bucket"
  function_name  = aws_lambda_function.integration.function_name
  action         = "lambda:InvokeFunction"
  principal      = "s3.amazonaws.com"
  source_arn     = aws_s3_bucket.this.arn
  source_account = local.account
}

resource "aws_s3_bucket_notification" "this" {
  bucket     = aws_s3_bucket.this.id
  depends_on = [aws_lambda_permission.bucket]
  lambda_function {
    lambda_function_arn = aws_lambda_function.integration.arn
    events              = ["s3:ObjectCreated:*"]
    filter_prefix       = "inbound/"
    filter_suffix       = ".json"
  }
}

resource "aws_lambda_event_source_mapping" "this" {
  event_source_arn        = aws_sqs_queue.this.arn
  function_name           = aws_lambda_function.integration.function_name
  batch_size              = 10
  function_response_types = ["ReportBatchItemFailures"]
}

resource "aws_cloudwatch_metric_alarm" "function" {
  for_each = {
    for pair in setproduct(["processing", "integration"], keys(local.alarms)) : "${pair[0]}-${pair[1]}" => { function = pair[0], alarm = local.alarms[pair[1]] }
  }
  alarm_name          = "orders-${replace(each.key, "_", "-")}-${local.suffix}"
  namespace           = "AWS/Lambda"
  metric_name         = each.value.alarm.metric
  dimensions          = { FunctionName = local.functions[each.value.function] }
  statistic           = each.value.alarm.statistic
  period              = each.value.alarm.period
  evaluation_periods  = each.value.alarm.periods
  threshold           = each.value.alarm.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this.arn]
}

resource "aws_iam_role" "state_machine" {
  name = "orders-state-machine-role-${local.suffix}"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "states.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy" "state_machine" {
  name = "work"
  role = aws_iam_role.state_machine.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = "lambda:InvokeFunction", Resource = aws_lambda_function.processing.arn },
      { Effect = "Allow", Action = "sqs:SendMessage", Resource = aws_sqs_queue.this.arn },
      { Effect = "Allow", Action = "sns:Publish", Resource = aws_sns_topic.this.arn },
      { Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = aws_kms_key.this.arn },
      { Effect = "Allow", Action = ["logs:CreateLogDelivery", "logs:GetLogDelivery", "logs:UpdateLogDelivery", "logs:DeleteLogDelivery", "logs:ListLogDeliveries", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups"], Resource = "*" },
      { Effect = "Allow", Action = ["xray:PutTraceSegments", "xray:PutTelemetryRecords"], Resource = "*" },
    ]
  })
}

resource "aws_sfn_state_machine" "this" {
  name       = "orders-state-machine-${local.suffix}"
  role_arn   = aws_iam_role.state_machine.arn
  depends_on = [aws_iam_role_policy.state_machine]
  definition = jsonencode({
    StartAt = "Processing Lambda"
    States = {
      "Processing Lambda" = {
        Type       = "Task", Resource = "arn:aws:states:::lambda:invoke", OutputPath = "$.Payload", Next = "Wait For Response"
        Parameters = { FunctionName = aws_lambda_function.processing.arn, "Payload.$" = "$" }
        Retry      = [{ ErrorEquals = ["States.ALL"], MaxAttempts = 3, IntervalSeconds = 5, BackoffRate = 2 }]
        Catch      = [{ ErrorEquals = ["States.ALL"], Next = "SNS Publish (Failure)" }]
      }
      "Wait For Response" = {
        Type       = "Task", Resource = "arn:aws:states:::sqs:sendMessage.waitForTaskToken", TimeoutSeconds = 86400, Next = "SNS Publish (Success)"
        Parameters = { QueueUrl = aws_sqs_queue.this.url, MessageBody = { "Input.$" = "$", "TaskToken.$" = "$$.Task.Token" } }
        Catch      = [{ ErrorEquals = ["States.ALL"], Next = "SNS Publish (Failure)" }]
      }
      "SNS Publish (Success)" = { Type = "Task", Resource = "arn:aws:states:::sns:publish", Parameters = { TopicArn = aws_sns_topic.this.arn, "Message.$" = "$" }, Next = "Success" }
      "SNS Publish (Failure)" = { Type = "Task", Resource = "arn:aws:states:::sns:publish", Parameters = { TopicArn = aws_sns_topic.this.arn, "Message.$" = "$" }, Next = "Fail" }
      Success                 = { Type = "Succeed" }
      Fail                    = { Type = "Fail" }
    }
  })
  logging_configuration {
    level                  = "ALL"
    include_execution_data = true
    log_destination        = "${aws_cloudwatch_log_group.state_machine.arn}:*"
  }
  tracing_configuration { enabled = true }
}
